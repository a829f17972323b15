package discovery

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/incident"
)

// Source knows pods in one way.
type Source interface {
	// Pods fails with [incident.ErrUnknownService] when none may be profiled.
	Pods(ctx context.Context, service, env string) ([]incident.Target, error)
	// Services lists the services that Pods knows, by name.
	Services(ctx context.Context) ([]string, error)
}

// Multi joins sources. It is safe for concurrent use when they are.
type Multi struct {
	sources []Source
	log     *slog.Logger
}

// NewMulti asks the sources in their order. A nil logger discards.
func NewMulti(log *slog.Logger, sources ...Source) *Multi {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Multi{sources, log}
}

// Pods lists what the sources know of a service, the first source's pods first.
// A pod that two of them know, by its name or by its address, is the first
// one's: what the configuration says of a pod goes before what was found, and
// nobody takes the place of a listed pod by its name. The
// service is unknown when all sources say so; a source that fails hides nothing
// that another one knows.
func (m *Multi) Pods(ctx context.Context, service, env string) ([]incident.Target, error) {
	var out []incident.Target
	taken := map[string]bool{} // where the sources' pods before listen
	var unknown []string
	var failed []error
	for _, s := range m.sources {
		pods, err := s.Pods(ctx, service, env)
		switch {
		case errors.Is(err, incident.ErrUnknownService):
			unknown = append(unknown, err.Error())
		case err != nil:
			failed = append(failed, err)
		}
		before := out // a source does not know a pod twice
		for _, t := range pods {
			if !taken[listens(t)] && !slices.ContainsFunc(before, func(o incident.Target) bool { return named(o, t) }) {
				out = append(out, t)
			}
		}
		for _, t := range out[len(before):] {
			taken[listens(t)] = true
		}
	}
	switch {
	case len(out) > 0:
		for _, err := range failed {
			m.log.WarnContext(ctx, "some pods may be missing", "service", service, "error", err)
		}
		return out, nil
	case len(failed) > 0:
		return nil, errors.Join(failed...)
	case len(unknown) == 0:
		return nil, Unknown("service %q is not known: nothing is configured that finds pods", service)
	}
	return nil, Unknown("%s", strings.Join(unknown, "; "))
}

// named tells whether two sources mean the same pod by its name, as far as both
// say more than that.
func named(a, b incident.Target) bool {
	return a.Pod == b.Pod && agree(a.Namespace, b.Namespace) && agree(a.Env, b.Env) && agree(a.UID, b.UID)
}

// agree tells whether two texts are equal, as far as both are there.
func agree(a, b string) bool { return a == b || a == "" || b == "" }

// listens is the host and port of a target, whatever its path and the way there
// are: no two pods have the same.
func listens(t incident.Target) string {
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" {
		return t.URL
	}
	return u.Host
}

// Services lists what the sources know, by name. It fails only when all do.
func (m *Multi) Services(ctx context.Context) ([]string, error) {
	var out []string
	var failed []error
	for _, s := range m.sources {
		names, err := s.Services(ctx)
		out = append(out, names...)
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 && len(failed) == len(m.sources) {
		return nil, errors.Join(failed...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
