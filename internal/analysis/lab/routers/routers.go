// Package routers serves the service on many routers, and knows for each what
// an analysis should call its endpoints.
package routers

import (
	"net"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// Server is a service on a router.
type Server struct {
	Serve func(net.Listener) error
	// Handlers are the patterns of the handlers' full names by endpoint. An
	// endpoint that is not here is not served.
	Handlers map[string]string
	// NoShare are endpoints whose request the framework decodes outside the clocks.
	NoShare []string
	// Drive loads one endpoint until stop is closed; nil means HTTP requests.
	Drive func(addr, endpoint string, stop <-chan struct{}) error
	// H2C says that HTTP requests are HTTP/2 without TLS.
	H2C bool
}

// All routers by name.
var All = map[string]func(*svc.API) Server{}

// methods are the patterns for one type with a method for each endpoint.
func methods(typ string, names map[string]string) map[string]string {
	m := map[string]string{}
	for endpoint, method := range names {
		m[endpoint] = `routers\.\(\*` + typ + `\)\.` + method + `(-fm)?$`
	}
	return m
}

// core are the endpoints that every router serves.
var core = map[string]string{
	"live": "Live", "gift": "Gift", "shop": "Shop", "rank": "Rank", "fanout": "Fanout", "user": "User", "export": "Export", "chat": "Chat",
}

// wide are those and the ones of the stores that only some routers serve.
var wide = map[string]string{
	"live": "Live", "gift": "Gift", "shop": "Shop", "rank": "Rank", "fanout": "Fanout", "user": "User", "export": "Export", "chat": "Chat",
	"rows": "Rows", "bolt": "Bolt", "rpc": "Remote", "stream": "Stream", "post": "Post",
}
