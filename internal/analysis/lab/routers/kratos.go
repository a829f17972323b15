//go:build !small

package routers

import (
	"context"
	"net"

	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"github.com/profbot/profbot/internal/analysis/lab/clock"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// kratosAPI has the handlers for Kratos.
type kratosAPI struct{ api *svc.API }

func (h *kratosAPI) Live(c khttp.Context) error {
	b, err := h.api.Live(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) Gift(c khttp.Context) error {
	b, err := h.api.Gift(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) Shop(c khttp.Context) error {
	b, err := h.api.Shop(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) Rank(c khttp.Context) error {
	b, err := h.api.Rank(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) Fanout(c khttp.Context) error {
	b, err := h.api.Fanout(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) User(c khttp.Context) error {
	b, err := h.api.User(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) Export(c khttp.Context) error {
	b, err := h.api.Export(c, c.Query().Get("id"))
	return h.send(c, b, err)
}

func (h *kratosAPI) Chat(c khttp.Context) error {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := c.Bind(&m); err != nil {
		return err
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(c, l, &m)
	return h.send(c, b, err)
}

func (h *kratosAPI) send(c khttp.Context, b []byte, err error) error {
	if err != nil {
		return err
	}
	return c.Blob(200, "application/json", b)
}

func init() {
	All["kratos"] = func(a *svc.API) Server {
		return Server{Handlers: methods("kratosAPI", core), Serve: func(l net.Listener) error {
			h, s := &kratosAPI{a}, khttp.NewServer(khttp.Listener(l))
			r := s.Route("/")
			r.GET("/live", h.Live)
			r.GET("/gift", h.Gift)
			r.GET("/shop", h.Shop)
			r.GET("/rank", h.Rank)
			r.GET("/fanout", h.Fanout)
			r.GET("/user", h.User)
			r.GET("/export", h.Export)
			r.POST("/chat", h.Chat)
			return s.Start(context.Background())
		}}
	}
}
