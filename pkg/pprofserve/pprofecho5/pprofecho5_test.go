package pprofecho5_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
	"github.com/profbot/profbot/pkg/pprofserve/pprofecho5"
)

func server(t *testing.T) *echo.Echo {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	show := func(c *echo.Context) error { return c.String(http.StatusOK, labeltest.Seen(c.Request().Context(), t)) }
	e.HTTPErrorHandler = func(c *echo.Context, err error) {
		code := echo.StatusCode(err)
		if code == 0 {
			code = http.StatusInternalServerError
		}
		// This runs after all middleware: the context has a label, the goroutine none.
		labeltest.Gone(t)
		_ = c.String(code, labeltest.Endpoint(c.Request().Context()))
	}
	e.Use(middleware.Recover(), pprofecho5.Label())
	e.GET("/", show)
	e.GET("/live/list", show)
	e.GET("/users/:id", show)
	e.Any("/any", show)
	e.GET("/files/*", show)
	v1 := e.Group("/v1", func(next echo.HandlerFunc) echo.HandlerFunc { return next })
	v1.Group("/deep").POST("/things/:thing", show)
	e.GET("/panic", func(*echo.Context) error { panic("on purpose") })
	e.GET("/fails", func(*echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "on purpose") })
	e.GET("/stream", func(c *echo.Context) error {
		for range 3 {
			fmt.Fprintln(c.Response(), labeltest.Seen(c.Request().Context(), t))
			_ = http.NewResponseController(c.Response()).Flush()
		}
		return nil
	})
	return e
}

func TestLabel(t *testing.T) {
	e := server(t)
	labeltest.TestHandler(t, e)
	labeltest.Check(t, e, "GET", "/users/4711", 200, "GET /users/:id")
	labeltest.Check(t, e, "GET", "/files/a/b.txt", 200, "GET /files/*")
	labeltest.Check(t, e, "POST", "/v1/deep/things/17", 200, "POST /v1/deep/things/:thing")
	labeltest.Check(t, e, "GET", "/v1/nowhere", 404, "GET /v1/*") // a route that echo makes for groups with middleware
	labeltest.Check(t, e, "HEAD", "/users/1", 405, labeltest.None)
	labeltest.Check(t, e, "GET", "/panic", 500, "GET /panic")
	labeltest.Check(t, e, "GET", "/fails", 418, "GET /fails")
}

func ExampleLabel() {
	e := echo.New()
	e.Use(pprofecho5.Label())
	e.GET("/users/:id", func(c *echo.Context) error {
		endpoint, _ := pprof.Label(c.Request().Context(), "endpoint")
		fmt.Println(endpoint)
		return nil
	})
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/users/4711", http.NoBody))
	// Output: GET /users/:id
}
