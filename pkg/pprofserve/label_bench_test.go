package pprofserve_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// The comparisons are short unless they are asked to be thorough.
var (
	blocks = flag.Int("blocks", 1, "of BenchmarkLabelCost; 7 tell a spread")
	length = flag.Duration("length", 200*time.Millisecond, "of the profiles of BenchmarkProfileSize")
)

// labelling is a way to label requests: none, ours, and what others do.
type labelling struct {
	name string
	wrap func(*http.ServeMux) http.Handler // around the mux
	in   func(http.Handler) http.Handler   // around each of its handlers
}

func plain(mux *http.ServeMux) http.Handler { return mux }

func asIs(h http.Handler) http.Handler { return h }

// withDo labels as everybody writes it first.
func withDo(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pprof.Do(r.Context(), pprof.Labels("endpoint", r.Pattern), func(ctx context.Context) {
			h.ServeHTTP(w, r.WithContext(ctx))
		})
	})
}

var spanIDs atomic.Uint64

// asTracer labels as dd-trace-go's tracer does: the endpoint and two ids, which
// are others in each request.
func asTracer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strconv.FormatUint(spanIDs.Add(0x9e3779b97f4a7c15), 10)
		ctx := pprof.WithLabels(r.Context(), pprof.Labels("local root span id", id, "span id", id, "trace endpoint", r.Pattern))
		pprof.SetGoroutineLabels(ctx)
		defer pprof.SetGoroutineLabels(r.Context())
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// contextAlone copies the request for a context, as all who label must; what
// they cost beyond it is the labels.
func contextAlone(h http.Handler) http.Handler {
	type key struct{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, w)))
	})
}

var labellings = []labelling{
	{"none", plain, asIs},
	{"context", plain, contextAlone},
	{"Label", plain, pprofserve.Label},
	{"LabelMux", pprofserve.LabelMux, asIs},
	{"pprof.Do", plain, withDo},
	{"tracer", plain, asTracer},
}

func (l labelling) handler(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, p := range []string{"GET /live/list", "GET /gift/list", "GET /user/{id}", "POST /chat"} {
		mux.Handle(p, l.in(h))
	}
	return l.wrap(mux)
}

// nobody takes an answer and throws it away.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}

// BenchmarkLabel is a request through a mux to a handler that does nothing.
func BenchmarkLabel(b *testing.B) {
	for _, l := range labellings {
		b.Run(l.name, func(b *testing.B) {
			h := l.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r, w := httptest.NewRequest(http.MethodGet, "/user/17", http.NoBody), &nobody{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkDo is the label alone, without a request around it.
func BenchmarkDo(b *testing.B) {
	for name, do := range map[string]func(context.Context, func(context.Context)){
		"pprofserve.Do": func(ctx context.Context, f func(context.Context)) { pprofserve.Do(ctx, "", "/feed.Feed/Spin", f) },
		"pprof.Do": func(ctx context.Context, f func(context.Context)) {
			pprof.Do(ctx, pprof.Labels("endpoint", "/feed.Feed/Spin"), f)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do(b.Context(), func(context.Context) {})
			}
		})
	}
}

// BenchmarkLabelCost compares all ways in turns, in one run, and prints what
// each takes more than none, and that as a share of pprof.Do's: median and
// spread of some blocks. A block is 300 turns of 500 requests, and counts the
// tenth least of each way, since others use the machine too. The benchmark's
// own time per operation says nothing.
func BenchmarkLabelCost(b *testing.B) {
	const turns, requests = 300, 500
	r, w := httptest.NewRequest(http.MethodGet, "/user/17", http.NoBody), &nobody{http.Header{}}
	handlers := make([]http.Handler, len(labellings))
	for i, l := range labellings {
		handlers[i] = l.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	do := slices.IndexFunc(labellings, func(l labelling) bool { return l.name == "pprof.Do" })
	for b.Loop() {
		more, ratio := make([][]float64, len(labellings)), make([][]float64, len(labellings))
		for range *blocks {
			took := make([][]float64, len(labellings)) // ns a request
			for range turns {
				for i, h := range handlers {
					begin := time.Now()
					for range requests {
						h.ServeHTTP(w, r)
					}
					took[i] = append(took[i], float64(time.Since(begin))/requests)
				}
			}
			for i := range took {
				slices.Sort(took[i])
				more[i] = append(more[i], took[i][turns/10]-took[0][turns/10])
			}
			for i := range took {
				ratio[i] = append(ratio[i], more[i][len(more[i])-1]/more[do][len(more[do])-1])
			}
		}
		b.Logf("%-9s %8s %30s", "", "ns more", "of pprof.Do's (least-most)")
		for i, l := range labellings[1:] {
			slices.Sort(more[i+1])
			slices.Sort(ratio[i+1])
			b.Logf("%-9s %8.0f %14.2f (%.2f-%.2f)", l.name, more[i+1][*blocks/2], ratio[i+1][*blocks/2], ratio[i+1][0], ratio[i+1][*blocks-1])
		}
	}
}

// BenchmarkProfileSize takes a CPU profile under each way of labelling,
// of requests that each cost some 20 us, and prints its size.
func BenchmarkProfileSize(b *testing.B) {
	sizes := map[string]int{}
	for b.Loop() {
		for _, l := range labellings {
			if l.name == "context" || l.name == "LabelMux" {
				continue
			}
			h := l.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for i := range 100 {
					fmt.Fprintf(w, "%d %s", i, "room")
				}
			}))
			var out counter
			if err := pprof.StartCPUProfile(&out); err != nil {
				b.Fatal(err)
			}
			r, w := httptest.NewRequest(http.MethodGet, "/user/17", http.NoBody), &nobody{http.Header{}}
			for begin := time.Now(); time.Since(begin) < *length; {
				h.ServeHTTP(w, r)
			}
			pprof.StopCPUProfile()
			sizes[l.name] = int(out)
		}
	}
	for _, l := range labellings {
		if n := sizes[l.name]; n > 0 {
			b.Logf("%-9s %6d bytes, %.2f of none", l.name, n, float64(n)/float64(sizes["none"]))
		}
	}
}

// counter counts bytes.
type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }
