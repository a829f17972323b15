package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/incident"
)

// outage is a source that does not answer.
type outage struct{}

func (outage) Pods(context.Context, string, string) ([]incident.Target, error) {
	return nil, errors.New("the API server does not answer")
}

func (outage) Services(context.Context) ([]string, error) {
	return nil, errors.New("the API server does not answer")
}

func static(t *testing.T, targets ...incident.Target) discovery.Source {
	t.Helper()
	s, err := discovery.NewStatic(targets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMulti(t *testing.T) {
	one := static(t, incident.Target{Service: "a", Pod: "a-0", URL: "http://h0:1", Authorization: "mine"}, incident.Target{Service: "b", Pod: "b-0", URL: "http://h1:1"})
	two := static(t,
		incident.Target{Service: "a", Pod: "a-0", Namespace: "live", URL: "http://h2:1"}, // the same by name
		incident.Target{Service: "a", Pod: "other", URL: "http://h0:1"},                  // the same by address
		incident.Target{Service: "a", Pod: "a-1", URL: "http://h3:1"},
		incident.Target{Service: "c", Pod: "c-0", Namespace: "x", UID: "1", URL: "http://h4:1"},
		incident.Target{Service: "d", Pod: "10.0.0.1", URL: "http://10.0.0.1:1/pprof"},
		incident.Target{Service: "d", Pod: "d-0", Env: "prod", URL: "http://gateway:1/d-0/pprof"},
		incident.Target{Service: "d", Pod: "d-1", Env: "prod", URL: "http://gateway:1/d-1/pprof"},
	)
	found := static(t,
		incident.Target{Service: "d", Pod: "d-7", Namespace: "x", UID: "7", Via: incident.ViaProxy, URL: "https://10.0.0.1:1"}, // the same by address
		incident.Target{Service: "d", Pod: "d-0", Namespace: "x", UID: "8", Env: "prod", URL: "http://10.0.0.2:1"},             // the same by name
		incident.Target{Service: "d", Pod: "d-1", Namespace: "y", UID: "9", Env: "staging", URL: "http://10.0.0.3:1"},
	)
	three := static(t, incident.Target{Service: "c", Pod: "c-0", Namespace: "y", UID: "2", URL: "http://h5:1"})
	for name, tc := range map[string]struct {
		sources []discovery.Source
		service string
		want    []string
		unknown bool
		words   string
	}{
		"merged":             {[]discovery.Source{one, two}, "a", []string{"a-0 http://h0:1/debug/pprof", "a-1 http://h3:1/debug/pprof"}, false, ""},
		"the other's":        {[]discovery.Source{two, one}, "b", []string{"b-0 http://h1:1/debug/pprof"}, false, ""},
		"one name, two pods": {[]discovery.Source{two, three}, "c", []string{"c-0 http://h4:1/debug/pprof", "c-0 http://h5:1/debug/pprof"}, false, ""},
		"listed and found": {
			[]discovery.Source{two, found},
			"d",
			[]string{"10.0.0.1 http://10.0.0.1:1/pprof", "d-0 http://gateway:1/d-0/pprof", "d-1 http://gateway:1/d-1/pprof", "d-1 http://10.0.0.3:1/debug/pprof"},
			false, "",
		},
		"an outage hides none": {[]discovery.Source{outage{}, one}, "b", []string{"b-0 http://h1:1/debug/pprof"}, false, ""},
		"an outage is told":    {[]discovery.Source{one, outage{}}, "c", nil, false, "does not answer"},
		"unknown to all":       {[]discovery.Source{one, three}, "z", nil, true, "configured: a, b; service \"z\" is not configured; configured: c"},
		"no sources":           {nil, "z", nil, true, "nothing is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := discovery.NewMulti(nil, tc.sources...).Pods(t.Context(), tc.service, "")
			var pods []string
			for _, x := range got {
				pods = append(pods, x.Pod+" "+x.URL)
			}
			if !slices.Equal(pods, tc.want) {
				t.Errorf("%q, want %q", pods, tc.want)
			}
			if (err != nil) != (tc.want == nil) || errors.Is(err, incident.ErrUnknownService) != tc.unknown || err != nil && !strings.Contains(err.Error(), tc.words) {
				t.Errorf("error %v", err)
			}
		})
	}
	got, err := discovery.NewMulti(nil, one, outage{}, two).Services(t.Context())
	if err != nil || !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("services %q, %v", got, err)
	}
	if _, err := discovery.NewMulti(nil, outage{}).Services(t.Context()); err == nil {
		t.Error("services of an outage")
	}
}

func TestNames(t *testing.T) {
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("s%02d", i%25))
	}
	if got := discovery.Names(many); !strings.HasPrefix(got, "s00, s01, ") || !strings.HasSuffix(got, "s19 and 5 more") {
		t.Error(got)
	}
	if got := discovery.Names([]string{"b", "a", "b"}); got != "a, b" {
		t.Error(got)
	}
}
