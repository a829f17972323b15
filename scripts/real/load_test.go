package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyLoopback(t *testing.T) {
	for addr, ok := range map[string]bool{
		"http://127.0.0.1:9090": true, "http://[::1]:80": true, "nats://127.3.2.1:4222": true,
		"http://localhost:80": false, "http://10.0.0.1": false, "http://example.com": false, "": false,
	} {
		u, err := url.Parse(addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := onlyLoopback(u); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// TestScenarios holds every scenario of this folder to what the driver reads.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("*.load")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, err := parse(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, q := range s.requests {
			for _, part := range []interface {
				Execute(io.Writer, any) error
			}{q.path, q.body} {
				if err := part.Execute(io.Discard, nil); err != nil {
					t.Errorf("%s: %s: %v", name, q.name, err)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "# nothing", "GET /", "0 GET /", "1 GET /{{", "1 POST / {{nosuch}}"} {
		if _, err := parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestSend(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method+" "+r.URL.String()] = r.Header.Get("X-Key") + " " + string(body)
		if r.URL.Path == "/bad" {
			http.Error(w, "no such thing", http.StatusNotFound)
		}
		if len(seen) == 3 {
			cancel()
		}
	}))
	defer srv.Close()
	s, err := parse(strings.NewReader(`
# three kinds of request
header X-Key load
1 GET /a?q={{printf "%d b" 1 | urlquery}}
3 POST /b {"list":[{{range $i, $_ := times 2}}{{if $i}},{{end}}{{$i}}{{end}}]}\nend
1 GET /bad
`))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := s.send(ctx, &out, srv.URL, 2, 100_000); err != nil {
		t.Fatal(err)
	}
	srv.Close() // what was under way has ended
	want := map[string]string{
		"GET /a?q=1+b": "load ", "POST /b": "load {\"list\":[0,1]}\nend", "GET /bad": "load ",
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
	if got := out.String(); !strings.Contains(got, `0 failed  POST /b`) {
		t.Error(got)
	}
}
