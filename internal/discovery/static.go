// Package discovery knows the pods of a service. Only what it knows is ever
// dialled: no address comes from an alert or a command.
package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/incident"
)

// Static is a list of pods from the configuration. It never changes and is
// safe for concurrent use.
type Static struct {
	targets []incident.Target // by pod
}

// NewStatic checks and keeps the targets. An address without a path gets
// /debug/pprof; a query is dropped. It is an error to list a pod twice for the
// same service and env, where no env is every one, or an address that is not
// http or https or has a password in it.
func NewStatic(targets []incident.Target) (*Static, error) {
	s := &Static{}
	envs := map[[2]string][]string{} // of a service's pod
	for _, t := range targets {
		if t.Service == "" || t.Pod == "" {
			return nil, errors.New("a target needs a service and a pod")
		}
		u, err := url.Parse(t.URL)
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
			return nil, fmt.Errorf("service %q, pod %q: the address is no http or https address", t.Service, t.Pod)
		case u.User != nil:
			return nil, fmt.Errorf("service %q, pod %q: put the password into authorization, not into the address", t.Service, t.Pod)
		}
		key := [2]string{t.Service, t.Pod}
		for _, env := range envs[key] {
			if env == t.Env || env == "" || t.Env == "" { // no env means every one
				return nil, fmt.Errorf("service %q lists pod %q twice for the same env", t.Service, t.Pod)
			}
		}
		envs[key] = append(envs[key], t.Env)
		u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
		if strings.Trim(u.Path, "/") == "" {
			u.Path, u.RawPath = "/debug/pprof", ""
		}
		t.URL = strings.TrimRight(u.String(), "/")
		s.targets = append(s.targets, t)
	}
	slices.SortFunc(s.targets, func(a, b incident.Target) int { return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Env, b.Env)) })
	return s, nil
}

// Pods lists the pods of a service, by name. An empty env asks for all, and a
// target without env is in every one. The error for an unknown service or env
// is an [incident.ErrUnknownService] and names those that are known.
func (s *Static) Pods(_ context.Context, service, env string) ([]incident.Target, error) {
	var out []incident.Target
	var services, envs []string
	for _, t := range s.targets {
		services = append(services, t.Service)
		if t.Service != service {
			continue
		}
		if env == "" || t.Env == "" || t.Env == env {
			out = append(out, t)
			continue
		}
		envs = append(envs, t.Env)
	}
	if len(out) > 0 {
		return out, nil
	}
	if len(envs) > 0 {
		return nil, Unknown("service %q has no pods in env %q; configured: %s", service, env, Names(envs))
	}
	if len(services) == 0 {
		return nil, Unknown("service %q is not configured: no services are configured", service)
	}
	return nil, Unknown("service %q is not configured; configured: %s", service, Names(services))
}

// Services lists the services that have pods, by name.
func (s *Static) Services(context.Context) ([]string, error) {
	var names []string
	for _, t := range s.targets {
		names = append(names, t.Service)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
