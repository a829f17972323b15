package app

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

// changing is a cluster in which something happens to pod-1 while it is asked
// for its profiles. Host 1 is pod-0's, 2 is pod-1's, 3 is pod-2's.
type changing struct {
	*cluster
	a        *App
	hot      *pproftest.Server // pod-1's process
	stranger *pproftest.Server // nobody's business; nil for none
}

// move gives pod-1 another address, and its old one to a pod of billing, which
// has not opted in.
func (c *changing) move(host int) {
	if _, err := c.serve(host, nil); err != nil {
		c.t.Error(err)
	}
	c.hot.Listener.Close()
	var err error
	if c.stranger, err = c.serve(2, nil); err != nil {
		c.t.Error(err)
	}
	c.api.Put(kubetest.Pod("live-api", "pod-1", "node-of-pod-1", c.ip(host)))
	other := kubetest.Pod("billing", "billing-0", "node-of-pod-1", c.ip(2))
	other.Annotations = nil
	c.api.Put(other)
}

// replace puts another pod of the same name in pod-1's place.
func (c *changing) replace(host int) {
	var err error
	if c.stranger, err = c.serve(host, nil); err != nil {
		c.t.Error(err)
	}
	c.api.Delete("live", "pod-1")
	c.api.Put(kubetest.Pod("live-api", "pod-1", "node-of-pod-1", c.ip(host)))
}

// TestPodsChange: whatever becomes of a chosen pod in the middle of its
// incident, the verdict is told, of the pod itself or of one in its place, and
// no other pod is taken for it.
func TestPodsChange(t *testing.T) {
	t.Parallel()
	const allocs, cpu = "/debug/pprof/allocs", "/debug/pprof/profile"
	var looks []func()
	for name, tc := range map[string]struct {
		when   string // pod-1 is asked for this the first time
		change func(c *changing)
		says   string // "" when pod-1 is profiled itself
		after  func(t *testing.T, c *changing)
	}{
		"terminated in the middle of a profile": {cpu, func(c *changing) {
			p := kubetest.Pod("live-api", "pod-1", "node-of-pod-1", c.ip(2))
			p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
			c.api.Put(p)
			c.hot.Listener.Close()
			c.learns(c.a, map[string]string{"pod-0": c.ip(1), "pod-2": c.ip(3)})
			panic(http.ErrAbortHandler) // the process ends
		}, "pod-1 is not listed any more, so pod-2 was profiled in its place", nil},
		"replaced": {allocs, func(c *changing) {
			c.replace(4)
			c.learns(c.a, map[string]string{"pod-0": c.ip(1), "pod-1": c.ip(4), "pod-2": c.ip(3)})
		}, "pod-1 was replaced since it was chosen, so pod-2 was profiled in its place", nil},
		"replaced, which profbot has not heard of": {allocs, func(c *changing) {
			c.silence()
			c.replace(4)
		}, "pod-1 was replaced since it was chosen, so pod-2 was profiled in its place", nil},
		"moved": {allocs, func(c *changing) {
			c.move(4)
			c.learns(c.a, map[string]string{"pod-0": c.ip(1), "pod-1": c.ip(4), "pod-2": c.ip(3)})
		}, "", nil},
		"moved, which profbot has not heard of": {allocs, func(c *changing) {
			c.silence()
			c.move(4)
		}, "pod-1 was replaced since it was chosen, so pod-2 was profiled in its place", nil},
		"relabelled": {allocs, func(c *changing) {
			p := kubetest.Pod("live-api", "pod-1", "node-of-pod-1", c.ip(2))
			p.Labels["tags.datadoghq.com/service"] = "debug-api"
			c.api.Put(p)
			c.learns(c.a, map[string]string{"pod-0": c.ip(1), "pod-2": c.ip(3)})
		}, "pod-1 is not listed any more, so pod-2 was profiled in its place", nil},
		"watch cut and resumed": {allocs, func(c *changing) {
			c.silence()
			c.api.Put(kubetest.Pod("live-api", "pod-3", "node-of-pod-3", c.ip(5)))
			c.api.Compact() // it cannot go on where it was
		}, "", func(t *testing.T, c *changing) {
			if h := hosts(c.a); h["pod-3"] != "" {
				t.Errorf("profbot knows %v from nobody", h)
			}
			c.api.Before(nil)
			c.learns(c.a, map[string]string{"pod-0": c.ip(1), "pod-1": c.ip(2), "pod-2": c.ip(3), "pod-3": c.ip(5)})
		}},
	} {
		c := &changing{cluster: newCluster(t, kubetest.Options{})}
		c.add("pod-0", 1, nil)
		c.hot = c.add("pod-1", 2, nil)
		spare := c.add("pod-2", 3, nil)
		c.a = c.start(c.env("[{name: live-api}]")...)
		var once sync.Once
		c.hot.OnRequest(func(path string) {
			if path == tc.when {
				once.Do(func() { tc.change(c) })
			}
		})
		c.fire(c.a)
		looks = append(looks, func() {
			t.Run(name, func(t *testing.T) {
				text, p := c.told(t, c.a)
				profiled := map[string]bool{}
				for _, got := range p.Captures {
					if got.Kind == incident.KindCPU && got.Status == incident.CaptureStored {
						profiled[got.Pod] = true
					}
				}
				if itself := tc.says == ""; !profiled["pod-0"] || profiled["pod-1"] != itself || profiled["pod-2"] == itself || itself == (len(spare.Requests()) > 0) {
					t.Errorf("profiled %v, and pod-2 was asked for %q", profiled, spare.Requests())
				}
				if !strings.Contains(text, tc.says) || tc.says == "" && strings.Contains(text, "in its place") {
					t.Errorf("the thread does not say %q:\n%s", tc.says, text)
				}
				if c.stranger != nil && len(c.stranger.Requests()) > 0 {
					t.Errorf("another pod was asked for %q", c.stranger.Requests())
				}
				if tc.after != nil {
					tc.after(t, c)
				}
				stop(t, c.a)
			})
		})
	}
	for _, look := range looks {
		look()
	}
}

// TestAPIServerAway: an API server that does not answer when the alert comes in
// delays the verdict, and no more.
func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	// It was there at first, and when the chosen pods are to be confirmed it
	// breaks all connections.
	down := newCluster(t, kubetest.Options{})
	down.add("pod-0", 1, nil)
	down.add("pod-1", 2, nil)
	confirming := down.start(down.env("[{name: live-api}]")...)
	var left atomic.Int32 // confirmations to be refused
	left.Store(2)
	down.api.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		if left.Load() <= 0 {
			return false
		}
		if strings.Contains(r.URL.Path, "/pods/pod-") {
			left.Add(-1)
		}
		panic(http.ErrAbortHandler)
	})
	down.api.CutWatches()
	down.api.Break()
	down.fire(confirming)

	// It has never answered: nothing is known of the service.
	silent := newCluster(t, kubetest.Options{})
	silent.add("pod-0", 1, nil)
	silent.add("pod-1", 2, nil)
	back := make(chan struct{})
	silent.api.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-back:
		case <-r.Context().Done():
		}
		return false
	})
	asking := silent.make(silent.env("[{name: live-api}]")...)
	var failed atomic.Int32
	asking.pipeline.Finder = failures{asking.pipeline.Finder, func() {
		if failed.Add(1) == 2 { // the alert's way in, and the choice of pods
			close(back)
		}
	}}
	asking.Start(t.Context()) // waits a while for the first list
	silent.fire(asking)

	for name, look := range map[string]func(t *testing.T){
		"when pods are confirmed": func(t *testing.T) {
			if _, p := down.told(t, confirming); p.Captures[0].Pod != "pod-1" || left.Load() > 0 {
				t.Errorf("%d were not refused: %+v", left.Load(), p)
			}
		},
		"from the start": func(t *testing.T) {
			if _, p := silent.told(t, asking); p.Captures[0].Pod != "pod-1" {
				t.Errorf("%+v", p)
			}
		},
	} {
		t.Run(name, look)
	}
}
