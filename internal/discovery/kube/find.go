package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/incident"
)

// Pods lists the running pods of a service that may be profiled: the ready
// ones first, then by name. A hot pod often fails its readiness, so one that is
// not ready is a target all the same, and its Found says so; one that is being
// terminated is none. An empty env asks for all, and a pod without env is in
// every one.
//
// The error for an unknown service or env is an [incident.ErrUnknownService]
// and names those that are known, or says why its pods are no targets. While
// the cluster does not answer, what is known is what counts, and Found says how
// old it is; before the first list it is another error.
func (f *Finder) Pods(_ context.Context, service, env string) ([]incident.Target, error) {
	now := time.Now()
	records := f.pods.of(service)
	if service == "" {
		records = nil
	}
	var ready, others []incident.Target
	var envs []string
	refused := false
	for _, r := range records {
		set := f.settings(r, env)
		switch {
		case !r.target():
		case env != "" && r.env != "" && r.env != env:
			envs = append(envs, r.env)
		case set.Refusal != "":
			refused = true
		case r.ready:
			ready = append(ready, f.target(r, set, now))
		default:
			others = append(others, f.target(r, set, now))
		}
	}
	if out := append(ready, others...); len(out) > 0 {
		return out, nil
	}
	for _, s := range f.scopes {
		if listed, _ := s.age(now); !listed {
			return nil, fmt.Errorf("service %q: %w", service, s.trouble(now))
		}
	}
	old := ""
	if err := f.Ready(); err != nil {
		old = " (" + err.Error() + ")"
	}
	if len(envs) > 0 && !refused {
		return nil, discovery.Unknown("service %q has no pods in env %q; in the cluster: %s%s", service, env, discovery.Names(envs), old)
	}
	if len(records) > 0 {
		return nil, discovery.Unknown("service %q has pods in the cluster, and none may be profiled: %s%s", service, f.whyNot(records, env), old)
	}
	names := f.services()
	if len(names) == 0 {
		return nil, discovery.Unknown("service %q is not in the cluster, and no pod there may be profiled%s", service, old)
	}
	return nil, discovery.Unknown("service %q is not in the cluster; there are: %s%s", service, discovery.Names(names), old)
}

// Services lists the services with pods that may be profiled, by name. It
// fails when there are none and not all was listed yet.
func (f *Finder) Services(context.Context) ([]string, error) {
	names := f.services()
	if len(names) == 0 {
		for _, s := range f.scopes {
			if listed, _ := s.age(time.Now()); !listed {
				return nil, s.trouble(time.Now())
			}
		}
	}
	return names, nil
}

func (f *Finder) services() []string {
	return slices.Sorted(maps.Keys(f.Counts()))
}

// Remark is something that a pod says of itself and that cannot be meant, or
// that the configuration contradicts.
type Remark struct {
	Service, Namespace, Pod string
	Words                   string
}

// Remarks are about the running pods of a service, or with "" of all, by pod.
func (f *Finder) Remarks(service string) []Remark {
	var out []Remark
	for _, r := range f.pods.of(service) {
		for _, words := range f.remarks(r, "") {
			if !r.ending {
				out = append(out, Remark{Service: r.service, Namespace: r.Namespace, Pod: r.Name, Words: words})
			}
		}
	}
	return out
}

// remarks are also those that come from the configuration.
func (f *Finder) remarks(r *record, env string) []string {
	if words := f.settings(r, env).Refusal; r.found != "" && words != "" {
		return append(slices.Clone(r.remarks), words)
	}
	return r.remarks
}

// whyNot says of pods that are no targets what is the matter with the first.
func (f *Finder) whyNot(records []*record, env string) string {
	for _, r := range records {
		if words := f.remarks(r, env); len(words) > 0 {
			return fmt.Sprintf("pod %q: %s", r.Name, words[0])
		}
	}
	if slices.ContainsFunc(records, func(r *record) bool { return r.found != "" }) {
		return "they are being terminated, or have no address yet"
	}
	return `their owners have not opted in with the annotation profbot.io/scrape: "true" or another profiler's, or have opted out`
}

// target tells whether the pod may be profiled now.
func (r *record) target() bool {
	_, ok := r.address()
	return r.found != "" && !r.ending && ok
}

// address is where the pod is. The API server checks the form; a pod that
// could make profbot talk to everybody would be no pod.
func (r *record) address() (netip.Addr, bool) {
	a, err := netip.ParseAddr(r.ip)
	return a, err == nil && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast()
}

// settings are the configuration's for a pod that is asked for in an env. One
// that does not say its env is in every one.
//
// Where TLS is set, nothing is sent to a pod in clear: one that says http is
// refused, and one that says nothing speaks https.
func (f *Finder) settings(r *record, env string) Settings {
	set := f.opt.Settings(r.service, cmp.Or(r.env, env), r.Namespace)
	if set.Refusal == "" && set.TLS != "" && r.scheme == "http" {
		set.Refusal = "its annotations say http, and the configuration has tls for the service: it is not asked in clear; annotate " + own + "scheme: https"
	}
	return set
}

func (f *Finder) target(r *record, set Settings, now time.Time) incident.Target {
	scheme := cmp.Or(r.scheme, "http")
	if set.TLS != "" {
		scheme = "https"
	}
	at, _ := r.address()
	path := strings.TrimRight(cmp.Or(r.path, set.Path, "/debug/pprof"), "/")
	t := incident.Target{
		Service: r.service, Env: r.env, Version: r.version,
		Namespace: r.Namespace, Pod: r.Name, UID: string(r.UID), Node: r.node, Via: f.opt.Reach,
		URL:           scheme + "://" + net.JoinHostPort(at.String(), strconv.Itoa(r.port)) + path,
		Authorization: set.Authorization, TLS: set.TLS,
		Refuses: slices.Clone(r.refuses), Found: r.found,
	}
	if !r.ready {
		t.Found += ", not ready"
	}
	for _, s := range f.scopes {
		if s.namespace == "" || s.namespace == r.Namespace {
			if _, age := s.age(now); age > 0 {
				t.Found += fmt.Sprintf(", as of %s ago: the cluster does not answer", age.Round(time.Second))
			}
		}
	}
	return t
}
