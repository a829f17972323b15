package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/incident"
)

// Fleet is how pods are found and pulled, as the configuration says: the
// listed ones, those of DNS names, and those of Kubernetes. Use NewFleet, then
// Start, then Stop.
type Fleet struct {
	discovery.Source // all pods
	// Kube is the cluster's part; nil when Kubernetes is not configured.
	Kube *kube.Finder
	// Collector pulls from the pods.
	Collector *collector.Collector
}

// NewFleet reads the credentials that the configuration names. It asks nobody
// anything yet. change may alter the collector's options; nil leaves them.
func NewFleet(cfg *config.Config, log *slog.Logger, change func(*collector.Options)) (*Fleet, error) {
	opt, err := collectorOptions(cfg)
	if err != nil {
		return nil, err
	}
	opt.Logger = log
	f := &Fleet{}
	listed, err := discovery.NewStatic(targets(cfg))
	if err != nil {
		return nil, err
	}
	sources := []discovery.Source{listed}
	if names := dnsNames(cfg); len(names) > 0 {
		dns, err := discovery.NewDNS(discovery.DNSOptions{Names: names})
		if err != nil {
			return nil, err
		}
		sources = append(sources, dns)
	}
	if cfg.Kubernetes.Enabled {
		if f.Kube, err = newKube(cfg, opt.TLS, log); err != nil {
			return nil, err
		}
		sources = append(sources, f.Kube)
		opt.Confirm = f.Kube.Confirm
		opt.Via = map[incident.Via]func(incident.Target) (http.RoundTripper, error){
			incident.ViaProxy: f.Kube.Proxy, incident.ViaPortForward: f.Kube.PortForward,
		}
	}
	f.Source = discovery.NewMulti(log, sources...)
	if change != nil {
		change(&opt)
	}
	f.Collector, err = collector.New(opt)
	return f, err
}

// Start begins to watch the cluster, if there is one, and waits a moment for
// its first list. The error says why there is none yet; the watching goes on
// all the same.
func (f *Fleet) Start(ctx context.Context) error {
	if f.Kube == nil {
		return nil
	}
	return f.Kube.Start(ctx)
}

// Stop ends what Start began.
func (f *Fleet) Stop() {
	if f.Kube != nil {
		f.Kube.Stop()
	}
}

// reaches are the ways to pods by their names in the configuration.
var reaches = map[string]incident.Via{"pod-ip": incident.ViaDirect, "proxy": incident.ViaProxy, "port-forward": incident.ViaPortForward}

func newKube(cfg *config.Config, certificates map[string]*tls.Config, log *slog.Logger) (*kube.Finder, error) {
	k := cfg.Kubernetes
	return kube.New(kube.Options{
		Kubeconfig: k.Kubeconfig, Context: k.Context, Namespaces: k.Namespaces, Selector: k.Selector,
		Everyone: !k.OptIn, Port: k.Port, Reach: reaches[k.Reach], ServiceTag: k.ServiceTag,
		Settings: func(service, env string) kube.Settings {
			s, ok := settings(cfg, service, env)
			if !ok {
				return kube.Settings{}
			}
			t := access(incident.Target{}, s)
			return kube.Settings{Authorization: t.Authorization, TLS: t.TLS, Path: s.Path}
		},
		TLS: func(t incident.Target) (*tls.Config, error) {
			if t.TLS == "" {
				return nil, nil //nolint:nilnil // it means the system's authorities
			}
			c, ok := certificates[t.TLS]
			if !ok {
				return nil, fmt.Errorf("its TLS settings %q are not known", t.TLS)
			}
			return c, nil
		},
		Logger: log,
	})
}

// settings are what the configuration says of a service, listed or discovered.
func settings(cfg *config.Config, service, env string) (config.Service, bool) {
	for _, s := range cfg.Services {
		if s.Name == service && (env == "" || s.Env == "" || s.Env == env) {
			return s, true
		}
	}
	return config.Service{}, false
}

// dnsNames lists the services whose pods a name resolves to. TLS settings say
// that they speak https.
func dnsNames(cfg *config.Config) []discovery.Name {
	var out []discovery.Name
	for _, s := range cfg.Services {
		if s.DNS == "" {
			continue
		}
		t := access(incident.Target{}, s)
		n := discovery.Name{
			Service: s.Name, Env: s.Env, Name: s.DNS, Path: s.Path, Namespace: s.Namespace, Authorization: t.Authorization, TLS: t.TLS,
		}
		if t.TLS != "" {
			n.Scheme = "https"
		}
		out = append(out, n)
	}
	return out
}
