//go:build !small

package routers

import (
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	"github.com/profbot/profbot/internal/analysis/lab/clock"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// echoAPI has the handlers for Echo 5.
type echoAPI struct{ api *svc.API }

func (h *echoAPI) Live(c *echo.Context) error {
	b, err := h.api.Live(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) Gift(c *echo.Context) error {
	b, err := h.api.Gift(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) Shop(c *echo.Context) error {
	b, err := h.api.Shop(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) Rank(c *echo.Context) error {
	b, err := h.api.Rank(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) Fanout(c *echo.Context) error {
	b, err := h.api.Fanout(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) User(c *echo.Context) error {
	b, err := h.api.User(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) Export(c *echo.Context) error {
	b, err := h.api.Export(c.Request().Context(), c.QueryParam("id"))
	return h.send(c, b, err)
}

func (h *echoAPI) Chat(c *echo.Context) error {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := c.Bind(&m); err != nil {
		return err
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(c.Request().Context(), l, &m)
	return h.send(c, b, err)
}

func (h *echoAPI) send(c *echo.Context, b []byte, err error) error {
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/json", b)
}

func init() {
	All["echo5"] = func(a *svc.API) Server {
		h, r := &echoAPI{a}, echo.New()
		r.Use(middleware.Recover(), middleware.RequestID())
		r.GET("/live", h.Live)
		r.GET("/gift", h.Gift)
		r.GET("/shop", h.Shop)
		r.GET("/rank", h.Rank)
		r.GET("/fanout", h.Fanout)
		r.GET("/user", h.User)
		r.GET("/export", h.Export)
		r.POST("/chat", h.Chat)
		return Server{Handlers: methods("echoAPI", core), Serve: func(l net.Listener) error {
			return (&http.Server{Handler: r, ReadHeaderTimeout: time.Minute}).Serve(l)
		}}
	}
}
