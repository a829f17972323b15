package pprofgin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/pprofgin"
)

func engine(t *testing.T) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(gin.RecoveryWithWriter(io.Discard), pprofgin.Label())
	show := func(c *gin.Context) { c.String(c.Writer.Status(), "%s", seen(c.Request.Context(), t)) }
	r.NoRoute(show)
	r.NoMethod(show)
	r.GET("/", show)
	r.GET("/live/list", show)
	r.HEAD("/live/list", func(c *gin.Context) { c.Header("Seen", seen(c.Request.Context(), t)) })
	r.GET("/users/:id", show)
	r.Any("/any", show)
	r.GET("/files/*path", show)
	v1 := r.Group("/v1")
	v1.Use(func(c *gin.Context) { c.Next() })
	v1.Group("/deep").POST("/things/:thing", show)
	r.GET("/panic", func(*gin.Context) { panic("on purpose") })
	r.GET("/stream", func(c *gin.Context) {
		n := 0
		c.Stream(func(w io.Writer) bool {
			n++
			fmt.Fprintln(w, seen(c.Request.Context(), t))
			return n < 3
		})
	})
	return r
}

func TestLabel(t *testing.T) {
	r := engine(t)
	for _, tc := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/", 200, "GET /"},
		{"GET", "/live/list?room=1", 200, "GET /live/list"},
		{"GET", "/users/4711", 200, "GET /users/:id"},
		{"DELETE", "/any", 200, "DELETE /any"},
		{"GET", "/files/a/b.txt", 200, "GET /files/*path"},
		{"POST", "/v1/deep/things/17", 200, "POST /v1/deep/things/:thing"},
		{"GET", "/nowhere", 404, "none"},
		{"POST", "/live/list", 405, "none"},
		{"MADEUP", "/users/1", 405, "none"},
		{"GET", "/panic", 500, ""},
	} {
		if code, got := ask(t, r, tc.method, tc.path); code != tc.code || got != tc.want {
			t.Errorf("%s %s: %d %q, want %d %q", tc.method, tc.path, code, got, tc.code, tc.want)
		}
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/live/list", http.NoBody))
	if got := w.Header().Get("Seen"); got != "HEAD /live/list" {
		t.Errorf("HEAD: %q", got)
	}
	if n := goroutinesWith(t, "GET /panic"); n != 0 {
		t.Errorf("after a panic %d goroutines have its label", n)
	}
}

func TestStream(t *testing.T) {
	s := httptest.NewServer(engine(t))
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

// TestNotExposed: neither pprofserve nor this module registers anything on
// http.DefaultServeMux. (pprofserve's own tests import net/http/pprof.)
func TestNotExposed(t *testing.T) {
	s, err := pprofserve.Start(pprofserve.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/", http.NoBody))
	if w.Code != http.StatusNotFound || pprofserve.Exposed() {
		t.Errorf("pprof is on the public mux: %d, Exposed says %v", w.Code, pprofserve.Exposed())
	}
}

func ExampleLabel() {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(pprofgin.Label())
	r.GET("/users/:id", func(c *gin.Context) {
		endpoint, _ := pprof.Label(c.Request.Context(), "endpoint")
		fmt.Println(endpoint)
	})
	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/users/4711", http.NoBody))
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
