package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// verdict is what every pod of these tests deserves.
const verdict = "decodes cached JSON"

// cluster is a Kubernetes whose pods have addresses of their own, each of which
// serves pprof at the same port. Of the service live-api pod-1 is hot and pod-0
// is cool; the others have no load.
type cluster struct {
	*around
	api  *kubetest.Server
	net  string // the first three numbers of the pods' addresses
	port string
}

var clusters atomic.Int32

func newCluster(t *testing.T, opt kubetest.Options) *cluster {
	t.Helper()
	return &cluster{around: newAround(t), api: kubetest.New(t, opt), net: fmt.Sprintf("127.41.%d.", clusters.Add(1))}
}

func (c *cluster) ip(host int) string { return fmt.Sprint(c.net, host) }

// serve starts a process at an address.
func (c *cluster) serve(host int, secure *tls.Config) (*pproftest.Server, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(c.ip(host), cmp.Or(c.port, "0")))
	if err != nil {
		return nil, err
	}
	if c.port == "" {
		_, c.port, _ = net.SplitHostPort(l.Addr().String())
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	s := pproftest.NewOn(l)
	s.ServeCPU(c.cpu)
	c.t.Cleanup(s.Close)
	return s, nil
}

// add starts a pod of live-api.
func (c *cluster) add(name string, host int, secure *tls.Config) *pproftest.Server {
	c.t.Helper()
	s, err := c.serve(host, secure)
	if err != nil && c.port == "" && os.Getenv("CI") != "true" {
		c.t.Skipf("no address %s on this machine: %v", c.ip(host), err)
	} else if err != nil {
		c.t.Fatal(err)
	}
	p := kubetest.Pod("live-api", name, "node-of-"+name, c.ip(host))
	if secure != nil {
		p.Annotations["profbot.io/scheme"] = "https"
	}
	c.api.Put(p)
	return s
}

// env configures a profbot for the cluster; of the services it has settings.
func (c *cluster) env(services string, more ...string) []string {
	return append([]string{
		"PROFBOT_KUBERNETES_ENABLED=true", "PROFBOT_KUBERNETES_KUBECONFIG=" + c.api.Kubeconfig(), "PROFBOT_KUBERNETES_PORT=" + c.port,
		"PROFBOT_SERVICES=" + services, "PROFBOT_CAPTURE_NETWORKS=" + c.net + "0/24",
	}, more...)
}

// fire sends the alert of live-api.
func (w *around) fire(a *App) {
	w.t.Helper()
	if status, body := w.alert(a, "triggered", "e1", hookToken); status != http.StatusAccepted {
		w.t.Fatalf("%d %s", status, body)
	}
}

// told waits for all of the one thread, and returns it with its incident.
func (w *around) told(t *testing.T, a *App) (text string, p Progress) {
	t.Helper()
	outer := w.t
	w.t = t
	defer func() { w.t = outer }()
	w.untilSlack("verdict, picture and details are there", func() bool {
		roots := w.slack.Messages(channel)
		return len(roots) == 1 && whole(w.slack.Thread(channel, roots[0].TS))
	})
	text = w.slack.Text(channel)
	if !strings.Contains(text, verdict) {
		t.Errorf("no verdict in the thread:\n%s", text)
	}
	all, err := a.Progress(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d incidents, %v", len(all), err)
	}
	return text, all[0]
}

// stop ends a profbot that was looked at, while others go on.
func stop(t *testing.T, a *App) {
	t.Helper()
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// hosts are the addresses of live-api's pods as a profbot knows them, by pod.
func hosts(a *App) map[string]string {
	pods, _ := a.fleet.Pods(context.Background(), "live-api", "") // none without a list
	out := map[string]string{}
	for _, p := range pods {
		if u, err := url.Parse(p.URL); err == nil {
			out[p.Pod] = u.Hostname()
		}
	}
	return out
}

// until waits for what another goroutine brings about, in a minute at most. It
// may be called by any goroutine.
func until(t testing.TB, what string, done func() bool) {
	tick, limit := time.NewTicker(2*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer limit.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Errorf("after a minute still not: %s", what)
			return
		}
	}
}

// learns waits until a profbot knows the pods of live-api by these addresses.
func (c *cluster) learns(a *App, want map[string]string) {
	until(c.t, fmt.Sprintf("profbot knows %v", want), func() bool { return maps.Equal(hosts(a), want) })
}

// silence lets profbot hear no more of the pods, though it may ask for one.
func (c *cluster) silence() {
	c.api.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/pods") {
			http.Error(w, "no leader", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	c.api.CutWatches()
	until(c.t, "no watch is open", func() bool { open, _ := c.api.Watches(); return open == 0 })
}

// failures calls f whenever the pods are asked for and not known.
type failures struct {
	pipeline.Finder
	f func()
}

func (x failures) Pods(ctx context.Context, service, env string) ([]incident.Target, error) {
	pods, err := x.Finder.Pods(ctx, service, env)
	if err != nil {
		x.f()
	}
	return pods, err
}
