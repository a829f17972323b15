package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/profbot/profbot/internal/incident"
)

// elsewhereConn is a connection that seems to lead to another address.
type elsewhereConn struct {
	net.Conn
	at net.Addr
}

func (c elsewhereConn) RemoteAddr() net.Addr { return c.at }

// TestExpose knocks at front pages of all sorts, beside a real pprof.
func TestExpose(t *testing.T) {
	page := func(status int, header, value, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for _, tc := range []struct {
		name         string
		front        http.HandlerFunc
		token        string // that pprof asks for
		at           string // the address that is dialled
		open, shared bool
		public       bool
	}{
		{name: "nothing", front: http.NotFound, at: "10.1.2.3", open: true},
		{name: "a hint to the index", front: page(200, "", "", `<a href="/debug/pprof/">pprof</a>`), at: "10.1.2.3", open: true},
		{name: "a redirect to the index", front: page(302, "Location", "/debug/pprof/", ""), at: "10.1.2.3", open: true},
		{name: "a broken front page", front: page(502, "", "", "bad gateway"), at: "10.1.2.3", open: true},
		{name: "a shop", front: page(200, "", "", "welcome"), at: "10.1.2.3", open: true, shared: true},
		{name: "a login", front: page(302, "Location", "https://login.example.com/", ""), at: "10.1.2.3", open: true, shared: true},
		{name: "an API that asks who", front: page(401, "", "", ""), at: "10.1.2.3", open: true, shared: true},
		{name: "an API without a front page", front: page(404, "Content-Type", "application/json", `{"message":"Not Found"}`), at: "10.1.2.3", open: true, shared: true},
		{name: "a shop in the world", front: page(200, "", "", "welcome"), at: "203.0.113.7", open: true, shared: true, public: true},
		{name: "pprof in the world", front: http.NotFound, at: "203.0.113.7", open: true, public: true},
		{name: "a token", front: page(200, "", "", "welcome"), token: "Bearer t", at: "203.0.113.7", public: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("/", tc.front)
			mux.HandleFunc("/debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != tc.token {
					http.Error(w, "who are you", http.StatusUnauthorized)
					return
				}
				pprof.Index(w, r)
			})
			s := httptest.NewServer(mux)
			defer s.Close()
			c, err := New(Options{Networks: Everywhere(), dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
				if err != nil {
					return nil, err
				}
				at, err := net.ResolveTCPAddr("tcp", address)
				return elsewhereConn{conn, at}, err
			}})
			if err != nil {
				t.Fatal(err)
			}
			x, err := c.Expose(t.Context(), incident.Target{Service: "shop", Pod: "a", URL: "http://" + tc.at + ":8080/debug/pprof", Authorization: tc.token})
			want := Exposure{Open: tc.open, Shared: tc.shared, Public: tc.public}
			if d := cmp.Diff(want, x, cmpopts.IgnoreFields(Exposure{}, "Address")); d != "" || err != nil || x.Address.String() != tc.at {
				t.Errorf("%v, at %s (-want +got):\n%s", err, x.Address, d)
			}
		})
	}
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Expose(t.Context(), incident.Target{URL: "http://10.1.2.3:6060/debug/pprof", Via: incident.ViaProxy}); !errors.Is(err, ErrNotDirect) {
		t.Errorf("through the API server: %v", err)
	}
	if _, err := c.Expose(t.Context(), incident.Target{URL: "http://169.254.169.254/debug/pprof"}); err == nil {
		t.Error("a metadata address was asked")
	}
}
