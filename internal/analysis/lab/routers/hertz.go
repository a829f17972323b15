//go:build !small

package routers

import (
	"context"
	"net"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/profbot/profbot/internal/analysis/lab/clock"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// hertzAPI has the handlers for Hertz.
type hertzAPI struct{ api *svc.API }

func (h *hertzAPI) Live(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.Live(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) Gift(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.Gift(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) Shop(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.Shop(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) Rank(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.Rank(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) Fanout(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.Fanout(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) User(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.User(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) Export(ctx context.Context, c *app.RequestContext) {
	b, err := h.api.Export(ctx, c.Query("id"))
	h.send(c, b, err)
}

func (h *hertzAPI) Chat(ctx context.Context, c *app.RequestContext) {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := c.BindJSON(&m); err != nil {
		h.send(c, nil, err)
		return
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(ctx, l, &m)
	h.send(c, b, err)
}

func (h *hertzAPI) send(c *app.RequestContext, b []byte, err error) {
	if err != nil {
		c.String(500, err.Error())
		return
	}
	c.Data(200, "application/json", b)
}

func init() {
	All["hertz"] = func(a *svc.API) Server {
		return Server{Handlers: methods("hertzAPI", core), Serve: func(l net.Listener) error {
			h, r := &hertzAPI{a}, server.Default(server.WithListener(l))
			r.Use(func(ctx context.Context, c *app.RequestContext) { c.Next(ctx) })
			r.GET("/live", h.Live)
			r.GET("/gift", h.Gift)
			r.GET("/shop", h.Shop)
			r.GET("/rank", h.Rank)
			r.GET("/fanout", h.Fanout)
			r.GET("/user", h.User)
			r.GET("/export", h.Export)
			r.POST("/chat", h.Chat)
			return r.Run()
		}}
	}
}
