package storm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
)

// networks are where the pods have their addresses: loopback's, of which Linux
// has sixteen million.
const networks = "127.50.0.0/16"

// fleet is a cluster: an API server that tells of the pods, and the pods, each
// at an address of its own.
type fleet struct {
	opt      Options
	api      *kubetest.Server
	pods     map[string]pod // by address
	port     string         // of all pods
	server   *http.Server
	profiles map[string][]byte // by the endpoint's name

	mu        sync.Mutex // protects the fields below
	all       gauge      // CPU profiles that run
	byPod     gauge
	byService gauge
	byNode    gauge
	asked     int // CPU profiles
	uninvited int // requests to pods that have not opted in
	lastDone  time.Time
}

type pod struct {
	name, service, node string
	quiet               bool // its owner has not opted in
}

// gauge counts what runs at once, by a name.
type gauge struct {
	now  map[string]int
	most int
}

func (g *gauge) add(name string, n int) {
	if g.now == nil {
		g.now = map[string]int{}
	}
	g.now[name] += n
	g.most = max(g.most, g.now[name])
}

func newFleet(ctx context.Context, opt Options) (*fleet, error) {
	f := &fleet{opt: opt, pods: map[string]pod{}, profiles: map[string][]byte{}}
	// Of many stacks, so that profbot has as much to do as with a busy server.
	for name, file := range map[string]string{"profile": "codec-lab.labelled.cpu", "allocs": "router-std.allocs1"} {
		data, err := os.ReadFile(filepath.Join(opt.Profiles, file+".pb.gz"))
		if err != nil {
			return nil, fmt.Errorf("read a pod's profile: %w", err)
		}
		f.profiles[name] = data
	}
	var err error
	if f.api, err = kubetest.Start(ctx, kubetest.Options{}); err != nil {
		return nil, err
	}
	f.server = &http.Server{Handler: http.HandlerFunc(f.serve), ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	for i := range opt.Pods {
		s := i % opt.Alerts
		err = errors.Join(err, f.add(ctx, pod{name: podName(service(s), i/opt.Alerts), service: service(s), node: f.node()}))
	}
	for s := range opt.Alerts {
		err = errors.Join(err, f.add(ctx, pod{name: quietName(service(s)), service: service(s), node: f.node(), quiet: true}))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("start the pods: %w", err)
	}
	return f, nil
}

// podName is a pod's of a service, quietName that of the one that has not
// opted in.
func podName(service string, i int) string { return fmt.Sprintf("%s-pod-%02d", service, i) }
func quietName(service string) string      { return service + "-quiet" }

// node is the next pod's: each has about as many, and none all of a service.
func (f *fleet) node() string { return fmt.Sprintf("node-%02d", len(f.pods)%f.opt.Nodes) }

// add starts a pod and tells the API server of it.
func (f *fleet) add(ctx context.Context, p pod) error {
	i := len(f.pods)
	ip := fmt.Sprintf("127.50.%d.%d", i/200, i%200+1)
	port := f.port
	if port == "" {
		port = "0"
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(ip, port))
	if err != nil {
		return err
	}
	_, f.port, _ = net.SplitHostPort(l.Addr().String())
	f.pods[l.Addr().String()] = p
	go func() { _ = f.server.Serve(l) }() // ends with Close
	known := kubetest.Pod(p.service, p.name, p.node, ip)
	if p.quiet {
		known.Annotations = nil
	}
	f.api.Put(known)
	return nil
}

// Close ends the pods and the API server.
func (f *fleet) Close() {
	_ = f.server.Close() // cuts what is open
	f.api.Close()
}

// serve answers /debug/pprof/NAME of the pod that is asked.
func (f *fleet) serve(w http.ResponseWriter, r *http.Request) {
	p := f.pods[r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()]
	if p.quiet {
		f.mu.Lock()
		f.uninvited++
		f.mu.Unlock()
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/debug/pprof/")
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
		f.count(p, 1)
		defer f.count(p, -1)
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

// count begins (1) or ends (-1) a CPU profile.
func (f *fleet) count(p pod, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all.add("", n)
	f.byPod.add(p.name, n)
	f.byService.add(p.service, n)
	f.byNode.add(p.node, n)
	if n > 0 {
		f.asked++
	} else {
		f.lastDone = time.Now()
	}
}

// seen puts what the pods saw into a result.
func (f *fleet) seen(began time.Time, res *Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res.MostAtOnce, res.MostPerPod, res.MostPerService, res.MostPerNode = f.all.most, f.byPod.most, f.byService.most, f.byNode.most
	res.Profiles, res.Uninvited = f.asked, f.uninvited
	if !f.lastDone.IsZero() {
		res.LastProfile = f.lastDone.Sub(began)
	}
}

// loads are the pods of a service as the metric has them: each a little cooler
// than the one before, and the one that has not opted in the hottest of all.
func (f *fleet) loads(service, _ string) map[string]float64 {
	out := map[string]float64{quietName(service): 4}
	for i := range (f.opt.Pods + f.opt.Alerts - 1) / f.opt.Alerts {
		out[podName(service, i)] = 3 / float64(i+1)
	}
	return out
}
