package pprofserve_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// start serves on a port of loopback until the test ends.
func start(t *testing.T, opt pprofserve.Options) string {
	t.Helper()
	opt.Addr = "127.0.0.1:0"
	s, err := pprofserve.Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return "http://" + s.Addr()
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func get(ctx context.Context, t *testing.T, url string, header ...string) answer {
	t.Helper()
	return do(ctx, t, http.MethodGet, url, nil, header...)
}

func do(ctx context.Context, t *testing.T, method, url string, body io.Reader, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, b}
}
