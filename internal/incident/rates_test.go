package incident_test

import (
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/incident"
)

func TestRateOf(t *testing.T) {
	for _, tc := range []struct {
		name, endpoint string
		rates          map[string]float64
		want           float64 // 0 when none is to be found
	}{
		{"as the traces name it", "GET /live/list", map[string]float64{"GET /live/list": 7, "GET /gift/list": 1}, 7},
		{"as Datadog tags it", "GET /live/list", map[string]float64{"get_/live/list": 7, "get_/gift/list": 1}, 7},
		{"another method", "POST /live/list", map[string]float64{"get_/live/list": 7}, 0},
		{"another depth", "GET /live", map[string]float64{"get_/live/list": 7, "get_/": 3}, 0},
		{"the root", "GET /", map[string]float64{"get_/": 3, "get_/live": 4}, 3},
		{"the root and nothing else", "GET /{$}", map[string]float64{"get_/": 3}, 3},
		{"a slash at the end", "GET /live/", map[string]float64{"get_/live/": 3, "get_/live": 4}, 3},
		{"letters of both cases", "GET /Live/userList", map[string]float64{"get_/live/userlist": 2}, 2},
		{"a host in the pattern", "GET live.example.com/list", map[string]float64{"get_/list": 2}, 2},
		{"a host in the tag", "GET /list", map[string]float64{"get_live.example.com/list": 2}, 2},

		{"a parameter at the end", "GET /users/{id}", map[string]float64{"get_/users/_id": 5}, 5},
		{"a parameter within", "GET /users/{id}/gifts", map[string]float64{"get_/users/_id_/gifts": 5, "get_/users/_id": 9}, 5},
		{"an expression", "GET /users/{id:[0-9]+}", map[string]float64{"get_/users/_id:_0-9": 5}, 5},
		{"the rest of a path", "GET /files/{path...}", map[string]float64{"get_/files/_path...": 5}, 5},
		{"a wildcard", "GET /static/*", map[string]float64{"get_/static/": 5}, 5},
		{"gin's parameter, the tag's", "GET /users/:id", map[string]float64{"get_/users/:id": 5}, 5},
		{"a parameter of another router", "GET /users/{id}", map[string]float64{"get_/users/:id": 5}, 5},
		{"a parameter as the agent hides it", "GET /users/{id}", map[string]float64{"GET /users/?": 5}, 5},
		{"hidden within", "GET /users/{id}/gifts", map[string]float64{"get_/users/_/gifts": 5}, 5},
		{"Flask's parameter", "GET /users/:id", map[string]float64{"get_/users/_int:id": 5}, 5},
		{"the equal name before the alike", "GET /users/{id}", map[string]float64{"get_/users/_id": 5, "get_/users/:name": 9}, 5},
		{"two that are alike", "GET /users/{id}", map[string]float64{"get_/users/_uid": 5, "get_/users/_name": 9}, 0},
		{"a word where a parameter is", "GET /users/{id}", map[string]float64{"get_/users/me": 5}, 0},
		{"a parameter where a word is", "GET /users/me", map[string]float64{"get_/users/_id": 5}, 0},
		{"the list and not the one", "GET /users/{id}", map[string]float64{"get_/users/": 5}, 0},

		{"gRPC", "/live.v1.LiveService/ListRooms", map[string]float64{"/live.v1.liveservice/listrooms": 6}, 6},
		{"gRPC without its slash", "live.v1.LiveService/ListRooms", map[string]float64{"/live.v1.liveservice/listrooms": 6}, 6},
		{"no method: all of them", "/live/list", map[string]float64{"get_/live/list": 7, "post_/live/list": 2, "get_/x": 1}, 9},
		{"any method: all of them", "ANY /live/list", map[string]float64{"get_/live/list": 7, "post_/live/list": 2}, 9},
		{"the root, any method", "ANY /", map[string]float64{"get_/": 7, "get_/live": 2}, 7},
		{"a name without a method", "GET /live/list", map[string]float64{"/live/list": 7}, 0},
		{"written twice", "GET /live/list", map[string]float64{"GET /live/list": 7, "get_/live/list": 2}, 9},
		{"a word that only begins as a method", "getter/x", map[string]float64{"getter/x": 1}, 1},
		{"a job", "refresh-cache", map[string]float64{"refresh-cache": 1}, 1},
		{"letters of the world", "GET /живое/список", map[string]float64{"get_/живое/список": 4}, 4},
		{"nothing", "", map[string]float64{"": 7, "/": 1}, 0},
		{"no rates", "GET /live/list", nil, 0},
	} {
		got, ok := incident.RateOf(tc.rates, tc.endpoint)
		if got != tc.want || ok != (tc.want != 0) {
			t.Errorf("%s: RateOf(%v, %q) = %v, %v, want %v", tc.name, tc.rates, tc.endpoint, got, ok, tc.want)
		}
	}
}

// FuzzRateOf: names come from outside. Nothing crashes, and an endpoint is
// found under its own name.
func FuzzRateOf(f *testing.F) {
	f.Add("GET /users/{id}", "get_/users/_id")
	f.Add("get_", "GET ")
	f.Add("any /{$}", "/")
	f.Fuzz(func(t *testing.T, endpoint, name string) {
		incident.RateOf(map[string]float64{name: 1, endpoint: 2}, endpoint)
		if got, ok := incident.RateOf(map[string]float64{endpoint: 1}, endpoint); (got != 1 || !ok) && strings.TrimPrefix(strings.TrimSpace(endpoint), "/") != "" {
			t.Errorf("%q is not found under its own name: %v, %v", endpoint, got, ok)
		}
	})
}
