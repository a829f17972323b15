//go:build !small

package routers

import (
	"github.com/kataras/iris/v12"
	"github.com/profbot/profbot/internal/analysis/lab/clock"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// irisAPI has the handlers for Iris.
type irisAPI struct{ api *svc.API }

func (h *irisAPI) Live(c iris.Context) {
	b, err := h.api.Live(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) Gift(c iris.Context) {
	b, err := h.api.Gift(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) Shop(c iris.Context) {
	b, err := h.api.Shop(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) Rank(c iris.Context) {
	b, err := h.api.Rank(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) Fanout(c iris.Context) {
	b, err := h.api.Fanout(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) User(c iris.Context) {
	b, err := h.api.User(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) Export(c iris.Context) {
	b, err := h.api.Export(c.Request().Context(), c.URLParam("id"))
	h.send(c, b, err)
}

func (h *irisAPI) Chat(c iris.Context) {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := c.ReadJSON(&m); err != nil {
		h.send(c, nil, err)
		return
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(c.Request().Context(), l, &m)
	h.send(c, b, err)
}

func (h *irisAPI) send(c iris.Context, b []byte, err error) {
	if err != nil {
		c.StopWithError(iris.StatusInternalServerError, err)
		return
	}
	c.ContentType("application/json")
	_, _ = c.Write(b)
}

func init() {
	All["iris"] = func(a *svc.API) Server {
		h, r := &irisAPI{a}, iris.New()
		r.Use(func(c iris.Context) { c.Next() })
		r.Get("/live", h.Live)
		r.Get("/gift", h.Gift)
		r.Get("/shop", h.Shop)
		r.Get("/rank", h.Rank)
		r.Get("/fanout", h.Fanout)
		r.Get("/user", h.User)
		r.Get("/export", h.Export)
		r.Post("/chat", h.Chat)
		if err := r.Build(); err != nil {
			panic(err) // a route above is wrong
		}
		return on(r, methods("irisAPI", core))
	}
}
