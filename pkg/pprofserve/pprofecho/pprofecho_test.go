package pprofecho_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/pprofecho"
)

func server(t *testing.T) *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	show := func(c echo.Context) error { return c.String(http.StatusOK, seen(c.Request().Context(), t)) }
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		code := http.StatusInternalServerError
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			code = he.Code
		}
		// This runs after all middleware: the context has a label, the goroutine none.
		text, ok := pprof.Label(c.Request().Context(), pprofserve.LabelKey)
		if !ok {
			text = "none"
		}
		_ = c.String(code, text)
	}
	e.Use(middleware.Recover(), pprofecho.Label())
	e.GET("/", show)
	e.GET("/live/list", show)
	e.GET("/users/:id", show)
	e.Any("/any", show)
	e.GET("/files/*", show)
	v1 := e.Group("/v1", func(next echo.HandlerFunc) echo.HandlerFunc { return next })
	v1.Group("/deep").POST("/things/:thing", show)
	e.GET("/panic", func(echo.Context) error { panic("on purpose") })
	e.GET("/fails", func(echo.Context) error { return echo.NewHTTPError(http.StatusTeapot) })
	e.GET("/stream", func(c echo.Context) error {
		for range 3 {
			fmt.Fprintln(c.Response(), seen(c.Request().Context(), t))
			c.Response().Flush()
		}
		return nil
	})
	return e
}

func TestLabel(t *testing.T) {
	e := server(t)
	for _, tc := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/", 200, "GET /"},
		{"GET", "/live/list?room=1", 200, "GET /live/list"},
		{"GET", "/users/4711", 200, "GET /users/:id"},
		{"DELETE", "/any", 200, "DELETE /any"},
		{"GET", "/files/a/b.txt", 200, "GET /files/*"},
		{"POST", "/v1/deep/things/17", 200, "POST /v1/deep/things/:thing"},
		{"GET", "/nowhere", 404, "none"},
		{"GET", "/v1/nowhere", 404, "GET /v1/*"}, // a route that echo makes for groups with middleware,
		{"POST", "/live/list", 405, "none"},
		{"HEAD", "/users/1", 405, "none"},
		{"MADEUP", "/users/1", 405, "none"},
		{"GET", "/panic", 500, "GET /panic"},
		{"GET", "/fails", 418, "GET /fails"},
	} {
		code, got := ask(t, e, tc.method, tc.path)
		if code != tc.code || got != tc.want {
			t.Errorf("%s %s: %d %q, want %d %q", tc.method, tc.path, code, got, tc.code, tc.want)
		}
	}
}

func TestStream(t *testing.T) {
	s := httptest.NewServer(server(t))
	defer s.Close()
	res, err := http.Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != strings.Repeat("GET /stream\n", 3) {
		t.Errorf("%q, %v", b, err)
	}
}

func ExampleLabel() {
	e := echo.New()
	e.Use(pprofecho.Label())
	e.GET("/users/:id", func(c echo.Context) error {
		endpoint, _ := pprof.Label(c.Request().Context(), "endpoint")
		fmt.Println(endpoint)
		return nil
	})
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/users/4711", http.NoBody))
	// Output: GET /users/:id
}

// goroutinesWith counts the stacks in the goroutine profile whose goroutines
// have this endpoint as their label.
func goroutinesWith(t *testing.T, endpoint string) int {
	t.Helper()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return strings.Count(b.String(), fmt.Sprintf("%q:%q", pprofserve.LabelKey, endpoint))
}

// until waits for goroutines that are about to end.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// seen is what a handler finds: its endpoint, and whether the goroutine and
// one that it starts have it as their label.
func seen(ctx context.Context, t *testing.T) string {
	endpoint, ok := pprof.Label(ctx, pprofserve.LabelKey)
	if !ok {
		return "none"
	}
	until(t, "this goroutine alone has the label "+endpoint, func() bool { return goroutinesWith(t, endpoint) == 1 })
	up, hold := make(chan struct{}), make(chan struct{})
	go func() { close(up); <-hold }() // ended below
	<-up
	if n := goroutinesWith(t, endpoint); n != 2 {
		t.Errorf("%d goroutines have the label %q, want the handler's and its own", n, endpoint)
	}
	close(hold)
	return endpoint
}

// ask sends a request, and looks for labels that were left behind.
func ask(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { // a goroutine as the server has one for a connection; ended by the handler
		defer close(done)
		r := httptest.NewRequest(method, path, http.NoBody)
		h.ServeHTTP(w, r)
		pprof.ForLabels(r.Context(), func(k, v string) bool { t.Errorf("the outer request has %s=%s", k, v); return true })
	}()
	<-done
	endpoint := strings.TrimSpace(w.Body.String())
	until(t, "no goroutine has the label "+endpoint+" any more", func() bool { return goroutinesWith(t, endpoint) == 0 })
	return w.Code, endpoint
}
