package routers

import (
	"encoding/json"
	"net"

	"github.com/fasthttp/router"
	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/valyala/fasthttp"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// fast has the handlers for fasthttp.
type fast struct{ api *svc.API }

func (h *fast) Live(c *fasthttp.RequestCtx) {
	b, err := h.api.Live(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) Gift(c *fasthttp.RequestCtx) {
	b, err := h.api.Gift(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) Shop(c *fasthttp.RequestCtx) {
	b, err := h.api.Shop(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) Rank(c *fasthttp.RequestCtx) {
	b, err := h.api.Rank(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) Fanout(c *fasthttp.RequestCtx) {
	b, err := h.api.Fanout(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) User(c *fasthttp.RequestCtx) {
	b, err := h.api.User(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) Export(c *fasthttp.RequestCtx) {
	b, err := h.api.Export(c, string(c.QueryArgs().Peek("id")))
	h.send(c, b, err)
}

func (h *fast) Chat(c *fasthttp.RequestCtx) {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := json.Unmarshal(c.PostBody(), &m); err != nil {
		h.send(c, nil, err)
		return
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(c, l, &m)
	h.send(c, b, err)
}

func (h *fast) send(c *fasthttp.RequestCtx, b []byte, err error) {
	if err != nil {
		c.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	c.SetContentType("application/json")
	c.SetBody(b)
}

func timed(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(c *fasthttp.RequestCtx) {
		next(c)
		c.Response.Header.Set("X-Lab", "1")
	}
}

func init() {
	All["fasthttp-router"] = func(a *svc.API) Server {
		h, r := &fast{a}, router.New()
		r.GET("/live", h.Live)
		r.GET("/gift", h.Gift)
		r.GET("/shop", h.Shop)
		r.GET("/rank", h.Rank)
		r.GET("/fanout", h.Fanout)
		r.GET("/user", h.User)
		r.GET("/export", h.Export)
		r.POST("/chat", h.Chat)
		return Server{Handlers: methods("fast", core), Serve: func(l net.Listener) error { return fasthttp.Serve(l, timed(r.Handler)) }}
	}
	All["fasthttp-switch"] = func(a *svc.API) Server {
		h := &fast{a}
		return Server{Handlers: methods("fast", core), Serve: func(l net.Listener) error { return fasthttp.Serve(l, h.route) }}
	}
}

// route is dispatch without a router.
func (h *fast) route(c *fasthttp.RequestCtx) {
	switch string(c.Path()) {
	case "/live":
		h.Live(c)
	case "/gift":
		h.Gift(c)
	case "/shop":
		h.Shop(c)
	case "/rank":
		h.Rank(c)
	case "/fanout":
		h.Fanout(c)
	case "/user":
		h.User(c)
	case "/export":
		h.Export(c)
	case "/chat":
		h.Chat(c)
	default:
		c.Error("no such page", fasthttp.StatusNotFound)
	}
}
