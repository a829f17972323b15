//go:build !small

package routers

import (
	"net"

	"github.com/gofiber/fiber/v3"
	"github.com/profbot/profbot/internal/analysis/lab/clock"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// fiberAPI has the handlers for Fiber 3.
type fiberAPI struct{ api *svc.API }

func (h *fiberAPI) Live(c fiber.Ctx) error {
	b, err := h.api.Live(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) Gift(c fiber.Ctx) error {
	b, err := h.api.Gift(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) Shop(c fiber.Ctx) error {
	b, err := h.api.Shop(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) Rank(c fiber.Ctx) error {
	b, err := h.api.Rank(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) Fanout(c fiber.Ctx) error {
	b, err := h.api.Fanout(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) User(c fiber.Ctx) error {
	b, err := h.api.User(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) Export(c fiber.Ctx) error {
	b, err := h.api.Export(c, c.Query("id"))
	return h.send(c, b, err)
}

func (h *fiberAPI) Chat(c fiber.Ctx) error {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := c.Bind().JSON(&m); err != nil {
		return err
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(c, l, &m)
	return h.send(c, b, err)
}

func (h *fiberAPI) send(c fiber.Ctx, b []byte, err error) error {
	if err != nil {
		return err
	}
	c.Set("Content-Type", "application/json")
	return c.Send(b)
}

func init() {
	All["fiber3"] = func(a *svc.API) Server {
		h, r := &fiberAPI{a}, fiber.New()
		r.Use(func(c fiber.Ctx) error { return c.Next() })
		r.Get("/live", h.Live)
		r.Get("/gift", h.Gift)
		r.Get("/shop", h.Shop)
		r.Get("/rank", h.Rank)
		r.Get("/fanout", h.Fanout)
		r.Get("/user", h.User)
		r.Get("/export", h.Export)
		r.Post("/chat", h.Chat)
		return Server{Handlers: methods("fiberAPI", core), Serve: func(l net.Listener) error {
			return r.Listener(l, fiber.ListenConfig{DisableStartupMessage: true})
		}}
	}
}
