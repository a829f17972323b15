package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

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
		if f.Kube, err = kube.New(kubeOptions(cfg, opt.TLS, log)); err != nil {
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

func kubeOptions(cfg *config.Config, certificates map[string]*tls.Config, log *slog.Logger) kube.Options {
	k := cfg.Kubernetes
	return kube.Options{
		Kubeconfig: k.Kubeconfig, Context: k.Context, Namespaces: k.Namespaces, Selector: k.Selector,
		Everyone: !k.OptIn, Port: k.Port, Reach: reaches[k.Reach], ServiceTag: k.ServiceTag,
		Settings: func(service, env, namespace string) kube.Settings {
			return discovered(cfg.Services, service, env, namespace)
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
	}
}

// discovered are what the configuration says of a service's pods that are
// discovered in a namespace. Who may create pods somewhere may write any
// service on them: so credentials go to the namespace alone that the
// configuration gives the service, and a pod elsewhere is none of the
// service's. In an env that the configuration does not know, the namespaces of
// the others count, or any env would do to come in.
func discovered(services []config.Service, service, env, namespace string) kube.Settings {
	var out kube.Settings
	known := false                  // the env is
	var namespaces, others []string // of the env, and of others
	for _, s := range services {
		switch {
		case s.Name != service:
		case env != "" && s.Env != "" && s.Env != env:
			others = append(others, s.Namespace)
		case s.Namespace == namespace:
			t := access(incident.Target{}, s)
			return kube.Settings{Authorization: t.Authorization, TLS: t.TLS, Path: s.Path}
		default:
			known, namespaces, out.Path = true, append(namespaces, s.Namespace), cmp.Or(out.Path, s.Path)
		}
	}
	if !known {
		namespaces = others
	}
	namespaces = slices.DeleteFunc(namespaces, func(ns string) bool { return ns == "" })
	if len(namespaces) > 0 && !slices.Contains(namespaces, namespace) {
		return kube.Settings{Refusal: fmt.Sprintf("it is in namespace %q, and the configuration has service %q in %s alone: if it is one of its pods, list the service once more with this namespace",
			namespace, service, discovery.Names(namespaces))}
	}
	return out
}

// settings are what the configuration says of a service, listed or discovered.
func settings(cfg *config.Config, service, env string) config.Service {
	for _, s := range cfg.Services {
		if s.Name == service && (env == "" || s.Env == "" || s.Env == env) {
			return s
		}
	}
	return config.Service{}
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
