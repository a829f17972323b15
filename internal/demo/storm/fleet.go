package storm

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fleet is all pods: one server, a path for each pod.
type fleet struct {
	*httptest.Server
	opt      Options
	profiles map[string][]byte // by the endpoint's name

	mu       sync.Mutex // protects the fields below
	now      map[string]int
	running  int
	most     int
	mostOne  int
	asked    int
	lastDone time.Time
}

func pod(service, i int) string { return fmt.Sprintf("svc-%02d-pod-%02d", service, i) }

func newFleet(opt Options) (*fleet, error) {
	f := &fleet{opt: opt, profiles: map[string][]byte{}, now: map[string]int{}}
	// Of many stacks, so that profbot has as much to do as with a busy server.
	for name, file := range map[string]string{"profile": "codec-lab.labelled.cpu", "allocs": "router-std.allocs1"} {
		data, err := os.ReadFile(filepath.Join(opt.Profiles, file+".pb.gz"))
		if err != nil {
			return nil, fmt.Errorf("read a pod's profile: %w", err)
		}
		f.profiles[name] = data
	}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	return f, nil
}

// serve answers /POD/debug/pprof/NAME.
func (f *fleet) serve(w http.ResponseWriter, r *http.Request) {
	pod, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/debug/pprof/")
	data := f.profiles[name]
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case name == "profile":
		seconds, err := strconv.Atoi(r.URL.Query().Get("seconds"))
		if err != nil {
			http.Error(w, "no seconds", http.StatusBadRequest)
			return
		}
		f.begin(pod)
		defer f.end(pod)
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-r.Context().Done():
			return
		}
	case data == nil:
		p := pprof.Lookup(name)
		if p == nil {
			http.NotFound(w, r)
			return
		}
		_ = p.WriteTo(w, 0) // a caller that went away is its business
		return
	}
	_, _ = w.Write(data)
}

func (f *fleet) begin(pod string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	f.running++
	f.now[pod]++
	f.most, f.mostOne = max(f.most, f.running), max(f.mostOne, f.now[pod])
}

func (f *fleet) end(pod string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	f.now[pod]--
	f.lastDone = time.Now()
}

// seen is what the pods saw of CPU profiles: the most at once, of all and of
// one, how many, and when the last one ended after began.
func (f *fleet) seen(began time.Time) (most, mostOne, asked int, last time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lastDone.IsZero() {
		last = f.lastDone.Sub(began)
	}
	return f.most, f.mostOne, f.asked, last
}

// loads are the pods of a service as the metric has them: each a little cooler
// than the one before.
func (f *fleet) loads(service, _ string) map[string]float64 {
	out := map[string]float64{}
	for i := range f.opt.Pods {
		out[fmt.Sprintf("%s-pod-%02d", service, i)] = 3 - float64(i)*0.25
	}
	return out
}
