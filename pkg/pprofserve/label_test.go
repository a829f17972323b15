package pprofserve_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
)

// labelsOf are a context's labels.
func labelsOf(ctx context.Context) string {
	m := map[string]string{}
	pprof.ForLabels(ctx, func(k, v string) bool { m[k] = v; return true })
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ";")
}

// show answers with the labels of its context, and checks those of goroutines.
func show(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		labeltest.Seen(r.Context(), t)
		io.WriteString(w, labelsOf(r.Context()))
	}
}

// routes is a mux with patterns of every kind.
func routes(wrap func(http.Handler) http.Handler, h http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	for _, p := range []string{"GET /live/list", "/any", "/files/{path...}", "POST /users/{id}", "GET example.com/host", "example.com/all", "/tree/", "GET /{$}"} {
		mux.Handle(p, wrap(h))
	}
	return mux
}

func TestLabelValues(t *testing.T) {
	inside := routes(pprofserve.Label, show(t))
	outside := pprofserve.LabelMux(routes(func(h http.Handler) http.Handler { return h }, show(t)))
	for name, h := range map[string]http.Handler{"Label": inside, "LabelMux": outside} {
		for _, tc := range []struct{ method, url, want string }{
			{"GET", "/live/list", "endpoint=GET /live/list"},
			{"HEAD", "/live/list", "endpoint=GET /live/list"},
			{"GET", "/live/list?room=17", "endpoint=GET /live/list"},
			{"GET", "/any", "endpoint=GET /any"},
			{"DELETE", "/any", "endpoint=DELETE /any"},
			{"MADEUP", "/any", "endpoint=/any"},
			{"GET", "/files/a/b/c.txt", "endpoint=GET /files/{path...}"},
			{"POST", "/users/4711", "endpoint=POST /users/{id}"},
			{"GET", "http://example.com/host", "endpoint=GET example.com/host"},
			{"PUT", "http://example.com/all", "endpoint=PUT example.com/all"},
			{"GET", "/tree/of/things", "endpoint=GET /tree/"},
			{"GET", "/", "endpoint=GET /{$}"},
			{"GET", "/nowhere", "404"},
			{"POST", "/live/list", "405"},
		} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.url, http.NoBody))
			got := w.Body.String()
			if w.Code != http.StatusOK {
				got = fmt.Sprint(w.Code)
			}
			if got != tc.want {
				t.Errorf("%s: %s %s: %q, want %q", name, tc.method, tc.url, got, tc.want)
			}
		}
	}
}

// TestLabelOverHTTP: through a server, where goroutines serve one request after
// the other, no label stays behind; not even after a panic.
func TestLabelOverHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /over/http", pprofserve.Label(show(t)))
	mux.Handle("GET /over/panic", pprofserve.Label(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
	left := func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusTeapot)
			}
			labeltest.Gone(t)
		}()
		mux.ServeHTTP(w, r)
	}
	s := httptest.NewServer(http.HandlerFunc(left))
	defer s.Close()
	for range 3 {
		if a := get(t.Context(), t, s.URL+"/over/http"); string(a.body) != "endpoint=GET /over/http" {
			t.Errorf("labels %q", a.body)
		}
		if a := get(t.Context(), t, s.URL+"/over/panic"); a.status != http.StatusTeapot {
			t.Errorf("the panic did not reach the outer handler: %d", a.status)
		}
	}
}

// TestLabelStreams: the writer is handed on as it is.
func TestLabelStreams(t *testing.T) {
	step := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			io.WriteString(w, "tick\n")
			w.(http.Flusher).Flush()
			<-step
		}
	})
	mux.HandleFunc("GET /hijack", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.Close()
	})
	s := httptest.NewServer(pprofserve.LabelMux(mux))
	defer s.Close()
	res, err := http.Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for range 3 {
		line := make([]byte, 5)
		if _, err := io.ReadFull(res.Body, line); err != nil || string(line) != "tick\n" {
			t.Errorf("%q, %v", line, err)
		}
		if n := labeltest.Goroutines()["GET /stream"]; n != 1 {
			t.Errorf("%d goroutines have the label while it streams", n)
		}
		step <- struct{}{}
	}
	if a := get(t.Context(), t, s.URL+"/hijack"); string(a.body) != "ok" {
		t.Errorf("hijacked: %q", a.body)
	}
}

// TestLabelNested: the inner label holds inside, the outer one after it.
func TestLabelNested(t *testing.T) {
	api := http.NewServeMux()
	api.Handle("GET /list", pprofserve.Label(show(t)))
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/api", api).ServeHTTP(w, r)
		if n := labeltest.Goroutines()["GET /api/"]; n != 1 {
			t.Errorf("%d goroutines have the outer label after the inner handler", n)
		}
	})
	w := httptest.NewRecorder()
	pprofserve.LabelMux(mux).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/list", http.NoBody))
	if got := w.Body.String(); got != "endpoint=GET /list" {
		t.Errorf("labels %q", got)
	}
}

func TestDo(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
	defer cancel()
	pprofserve.Do(ctx, "", "", func(in context.Context) {
		if in != ctx {
			t.Error("without a route the context is another")
		}
	})
	pprofserve.Do(ctx, "", "/feed.Feed/Spin", func(ctx context.Context) {
		if got := labelsOf(ctx); got != "endpoint=/feed.Feed/Spin" {
			t.Errorf("labels %q", got)
		}
		if ctx.Value(key{}) != "kept" || ctx.Value("nothing") != nil {
			t.Error("values are not the parent's")
		}
		// Labels that are set inside keep it, and go before it.
		pprof.Do(ctx, pprof.Labels("tenant", "blue"), func(ctx context.Context) {
			if got := labelsOf(ctx); got != "endpoint=/feed.Feed/Spin;tenant=blue" {
				t.Errorf("labels inside pprof.Do: %q", got)
			}
			pprofserve.Do(ctx, "GET", "/inner", func(ctx context.Context) {
				if got := labelsOf(ctx); got != "endpoint=GET /inner;tenant=blue" {
					t.Errorf("labels with others around: %q", got)
				}
			})
		})
		if n := labeltest.Goroutines()["/feed.Feed/Spin"]; n != 1 {
			t.Errorf("%d goroutines have the label after pprof.Do", n)
		}
		child, cancelChild := context.WithCancel(ctx)
		defer cancelChild()
		cancel()
		<-child.Done() // an end reaches through
		if ctx.Err() == nil {
			t.Error("the parent has ended and the context has not")
		}
	})
	if n := labeltest.Goroutines()["/feed.Feed/Spin"]; n != 0 {
		t.Errorf("%d goroutines have the label afterwards", n)
	}
}

func ExampleLabelMux() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		endpoint, _ := pprof.Label(r.Context(), "endpoint")
		fmt.Fprintln(w, endpoint)
	})
	s := httptest.NewServer(pprofserve.LabelMux(mux))
	defer s.Close()
	res, err := http.Get(s.URL + "/users/4711")
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		panic(err)
	}
	fmt.Print(string(b))
	// Output: GET /users/{id}
}

func ExampleDo() {
	// A consumer of messages: the label names what is worked on.
	pprofserve.Do(context.Background(), "", "orders.created", func(ctx context.Context) {
		endpoint, _ := pprof.Label(ctx, "endpoint")
		fmt.Println(endpoint)
	})
	// Output: orders.created
}

func ExampleStart() {
	server, err := pprofserve.Start(pprofserve.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		panic(err)
	}
	defer server.Stop()
	res, err := http.Get("http://" + server.Addr() + "/debug/pprof/heap")
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Status, res.Header.Get("Content-Disposition"))
	// Output: 200 OK attachment; filename="heap"
}

func ExampleStartCPUProfile() {
	// A profiler inside the service, in place of runtime/pprof: profiles can be
	// pulled while it runs.
	var profile strings.Builder
	if err := pprofserve.StartCPUProfile(&profile); err != nil {
		panic(err)
	}
	if err := pprofserve.StopCPUProfile(); err != nil {
		panic(err)
	}
	fmt.Println(profile.Len() > 0)
	// Output: true
}
