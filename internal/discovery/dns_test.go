package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/incident"
)

// zone is a name server over connections in memory.
type zone struct {
	mu     sync.Mutex // protects what is below
	hosts  map[string][]string
	srv    map[string][]dnsmessage.SRVResource
	asked  map[string]int
	silent bool
}

// resolver asks the zone, over TCP since that has frames.
func (z *zone) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		go z.serve(server) // ends when the resolver closes its side
		return client, nil
	}}
}

func (z *zone) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := c.Read(size[:]); err != nil {
			return
		}
		msg := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := c.Read(msg); err != nil {
			return
		}
		reply := z.answer(msg)
		if reply == nil {
			continue
		}
		if _, err := c.Write(append([]byte{byte(len(reply) >> 8), byte(len(reply))}, reply...)); err != nil {
			return
		}
	}
}

func (z *zone) answer(msg []byte) []byte {
	z.mu.Lock()
	defer z.mu.Unlock()
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil || z.silent {
		return nil
	}
	q := m.Questions[0]
	key := q.Name.String()
	z.asked[key]++
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5}
	for _, ip := range z.hosts[key] {
		a := netip.MustParseAddr(ip)
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	if q.Type == dnsmessage.TypeSRV {
		for _, r := range z.srv[key] {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &r})
		}
	}
	if z.hosts[key] == nil && z.srv[key] == nil {
		m.RCode = dnsmessage.RCodeNameError
	}
	if strings.HasPrefix(key, "broken.") {
		m.RCode = dnsmessage.RCodeServerFailure
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

func record(target string, port uint16) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Port: port, Target: dnsmessage.MustNewName(target), Weight: port}
}

func newZone() *zone {
	z := &zone{asked: map[string]int{}, hosts: map[string][]string{
		"live.test.": {"10.0.0.2", "10.0.0.1", "fd00::1"}, "six.test.": {"fd00::2", "fd00::1"}, "nowhere.test.": {"0.0.0.0", "224.0.0.1"},
		"live-0.live.test.": {"10.0.0.1", "fd00::1"}, "live-1.live.test.": {"10.0.0.2"}, "broken.test.": {"10.0.0.1"},
	}, srv: map[string][]dnsmessage.SRVResource{
		"_pprof._tcp.live.test.": {record("live-1.live.test.", 6061), record("live-0.live.test.", 6060), record("lost.live.test.", 6060), record("live-0.live.test.", 6060)},
		"_none._tcp.live.test.":  {record("lost.live.test.", 6060)},
		"_zero._tcp.live.test.":  {record("live-0.live.test.", 0), record(".", 1)},
	}}
	for i := range 300 {
		z.hosts["many.test."] = append(z.hosts["many.test."], fmt.Sprintf("10.1.%d.%d", i/100, i%100+1))
	}
	return z
}

func TestDNS(t *testing.T) {
	type answer struct{ Pod, URL string }
	for name, tc := range map[string]struct {
		name discovery.Name
		want []answer
		err  string
	}{
		"addresses":    {name: discovery.Name{Name: "live.test.:6060"}, want: []answer{{"10.0.0.1", "http://10.0.0.1:6060/debug/pprof"}, {"10.0.0.2", "http://10.0.0.2:6060/debug/pprof"}}},
		"IPv6":         {name: discovery.Name{Name: "six.test.:6060", Scheme: "https", Path: "/x/"}, want: []answer{{"fd00::1", "https://[fd00::1]:6060/x"}, {"fd00::2", "https://[fd00::2]:6060/x"}}},
		"a literal":    {name: discovery.Name{Name: "[::1]:6060"}, want: []answer{{"::1", "http://[::1]:6060/debug/pprof"}}},
		"SRV":          {name: discovery.Name{Name: "_pprof._tcp.live.test."}, want: []answer{{"live-0", "http://10.0.0.1:6060/debug/pprof"}, {"live-1", "http://10.0.0.2:6061/debug/pprof"}}},
		"no name":      {name: discovery.Name{Name: "none.test.:6060"}, err: `service "live-api": dns name "none.test.:6060": it does not exist, or has no records of this kind`},
		"no records":   {name: discovery.Name{Name: "_pprof._tcp.live-0.live.test."}, err: "it does not exist"},
		"lost targets": {name: discovery.Name{Name: "_none._tcp.live.test."}, err: "it does not exist"},
		"zero":         {name: discovery.Name{Name: "_zero._tcp.live.test."}, err: "its records name no pods"},
		"no pods":      {name: discovery.Name{Name: "nowhere.test.:6060"}, err: "no address that could be a pod's"},
		"server fails": {name: discovery.Name{Name: "broken.test.:6060"}, err: "server misbehaving"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.name.Service, tc.name.Authorization, tc.name.TLS, tc.name.Namespace = "live-api", "Bearer x", "live", "live"
			d, err := discovery.NewDNS(discovery.DNSOptions{Names: []discovery.Name{tc.name}, Resolver: newZone().resolver()})
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Pods(t.Context(), "live-api", "prod")
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || errors.Is(err, incident.ErrUnknownService) || strings.Contains(err.Error(), "127.0.0.1") {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var pods []answer
			for _, x := range got {
				pods = append(pods, answer{x.Pod, x.URL})
				x.Pod, x.URL = "", ""
				want := incident.Target{Service: "live-api", Namespace: "live", Authorization: "Bearer x", TLS: "live", Found: "dns name " + tc.name.Name}
				if d := cmp.Diff(want, x); d != "" {
					t.Error(d)
				}
			}
			if d := cmp.Diff(tc.want, pods); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestDNSUnknown(t *testing.T) {
	d, err := discovery.NewDNS(discovery.DNSOptions{Resolver: newZone().resolver(), Names: []discovery.Name{
		{Service: "a", Env: "prod", Name: "live.test.:1"}, {Service: "b", Name: "none.test.:1"}, {Service: "b", Name: "live.test.:1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ service, env, err string }{
		{"c", "", `service "c" has no dns name; configured: a, b`},
		{"a", "dev", `service "a" has no dns name in env "dev"; configured: prod`},
	} {
		_, err := d.Pods(t.Context(), tc.service, tc.env)
		if !errors.Is(err, incident.ErrUnknownService) || err.Error() != tc.err {
			t.Errorf("%v, want %s", err, tc.err)
		}
	}
	for service, want := range map[string]int{"a": 2, "b": 2} { // b has a name that resolves to nothing
		if got, err := d.Pods(t.Context(), service, ""); err != nil || len(got) != want {
			t.Errorf("%s: %d pods, %v", service, len(got), err)
		}
	}
	if got, err := d.Services(t.Context()); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestDNSBounds: many addresses are cut off, many callers ask once, an answer
// is good for its time, and so is a failure for its own.
func TestDNSBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone()
		d, err := discovery.NewDNS(discovery.DNSOptions{Resolver: z.resolver(), Max: 100, Names: []discovery.Name{{Service: "many", Name: "many.test.:1"}, {Service: "none", Name: "none.test.:1"}}})
		if err != nil {
			t.Fatal(err)
		}
		asked := func(name string) int {
			z.mu.Lock()
			defer z.mu.Unlock()
			return z.asked[name] / 2 // A and AAAA
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, err := d.Pods(t.Context(), "many", ""); err != nil || len(got) != 100 {
					t.Errorf("%d pods, %v", len(got), err)
				}
				if _, err := d.Pods(t.Context(), "none", ""); err == nil {
					t.Error("pods of nothing")
				}
			})
		}
		wg.Wait()
		if asked("many.test.") != 1 || asked("none.test.") != 1 {
			t.Errorf("asked %d and %d times", asked("many.test."), asked("none.test."))
		}
		<-time.After(3 * time.Second) // of the bubble
		_, _ = d.Pods(t.Context(), "many", "")
		_, _ = d.Pods(t.Context(), "none", "")
		if asked("many.test.") != 1 || asked("none.test.") != 2 {
			t.Errorf("after 3s asked %d and %d times", asked("many.test."), asked("none.test."))
		}
		<-time.After(8 * time.Second)
		z.mu.Lock()
		z.hosts["many.test."] = []string{"10.9.9.9"}
		z.mu.Unlock()
		got, err := d.Pods(t.Context(), "many", "")
		if err != nil || len(got) != 1 || got[0].Pod != "10.9.9.9" {
			t.Errorf("after 11s: %v, %v", got, err)
		}
		got[0].Pod = "changed"
		if again, _ := d.Pods(t.Context(), "many", ""); again[0].Pod != "10.9.9.9" {
			t.Error("the list is the caller's, and what is remembered is not")
		}

		// A name server that falls silent: bounded, and nothing old is used.
		<-time.After(11 * time.Second)
		z.mu.Lock()
		z.silent = true
		z.mu.Unlock()
		begin := time.Now()
		if _, err := d.Pods(t.Context(), "many", ""); err == nil || !strings.Contains(err.Error(), "no answer within 3s") || time.Since(begin) > 4*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		// A caller who gives up leaves no trace.
		<-time.After(11 * time.Second)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		if _, err := d.Pods(ctx, "many", ""); err == nil || err.Error() != "enough" {
			t.Error(err)
		}
		z.mu.Lock()
		z.silent = false
		z.mu.Unlock()
		if got, err := d.Pods(t.Context(), "many", ""); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", got, err)
		}
		<-time.After(time.Minute) // in which the resolver gives up what nobody waits for
	})
}

func TestNewDNSRefuses(t *testing.T) {
	for name, n := range map[string]discovery.Name{
		"no service": {Name: "a:1"},
		"no port":    {Service: "s", Name: "a"},
		"port 0":     {Service: "s", Name: "a:0"},
		"port":       {Service: "s", Name: "a:70000"},
		"no host":    {Service: "s", Name: ":1"},
		"a URL":      {Service: "s", Name: "http://a:1"},
		"scheme":     {Service: "s", Name: "a:1", Scheme: "gopher"},
		"path":       {Service: "s", Name: "a:1", Path: "debug"},
		"climbs":     {Service: "s", Name: "a:1", Path: "/a/../b"},
	} {
		if _, err := discovery.NewDNS(discovery.DNSOptions{Names: []discovery.Name{n}}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
