package pprofgin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
	"github.com/profbot/profbot/pkg/pprofserve/pprofgin"
)

func engine(t *testing.T) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(gin.RecoveryWithWriter(io.Discard), pprofgin.Label())
	show := func(c *gin.Context) { c.String(c.Writer.Status(), "%s", labeltest.Seen(c.Request.Context(), t)) }
	r.NoRoute(show)
	r.NoMethod(show)
	r.GET("/", show)
	r.GET("/live/list", show)
	r.HEAD("/live/list", func(c *gin.Context) { c.Header("Seen", labeltest.Seen(c.Request.Context(), t)) })
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
			fmt.Fprintln(w, labeltest.Seen(c.Request.Context(), t))
			return n < 3
		})
	})
	return r
}

func TestLabel(t *testing.T) {
	r := engine(t)
	labeltest.TestHandler(t, r)
	labeltest.Check(t, r, "GET", "/users/4711", 200, "GET /users/:id")
	labeltest.Check(t, r, "GET", "/files/a/b.txt", 200, "GET /files/*path")
	labeltest.Check(t, r, "POST", "/v1/deep/things/17", 200, "POST /v1/deep/things/:thing")
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/live/list", http.NoBody))
	if got := w.Header().Get("Seen"); got != "HEAD /live/list" {
		t.Errorf("HEAD: %q", got)
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
