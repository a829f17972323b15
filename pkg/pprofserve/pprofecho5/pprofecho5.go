// Package pprofecho5 labels goroutines with the echo v5 route that they serve,
// so that CPU profiles say which endpoint costs what. See package pprofserve;
// for echo v4 there is pprofecho.
package pprofecho5

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// Label is middleware that labels each request with the method and path of its
// route ("GET /users/:id"), groups and wildcards included. Requests that match
// no route have no label.
//
//	e := echo.New()
//	e.Use(pprofecho5.Label())
//
// It belongs into Use, not Pre, since before the routing there is no route.
// The request that it hands on carries the label in its context.
func Label() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) (err error) {
			route := c.Path()
			if c.Get(echo.ContextKeyHeaderAllow) != nil {
				route = "" // a path of which the method is not allowed
			}
			pprofserve.DoRequest(c.Request(), route, func(r *http.Request) {
				c.SetRequest(r)
				err = next(c)
			})
			return err
		}
	}
}
