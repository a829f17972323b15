package pprofserve

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
)

// private is loopback, link-local, and what is routed within an organisation.
var private = prefixes(
	"127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10",
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7",
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// guard lets those through to next who come from an allowed network and have
// a token, where one is asked for.
type guard struct {
	networks []netip.Prefix
	tokens   [][sha256.Size]byte // sums, so that the comparison's time tells no length
	logger   *slog.Logger
	next     http.Handler
}

func newGuard(opt Options, next http.Handler) *guard {
	g := &guard{networks: opt.Networks, logger: opt.Logger, next: next}
	for _, t := range opt.Tokens {
		g.tokens = append(g.tokens, sha256.Sum256([]byte(strings.TrimSpace(t))))
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.near(r.RemoteAddr) {
		g.logger.Debug("pprof refused", "reason", "network", "client", r.RemoteAddr)
		serveError(w, http.StatusForbidden, "pprof is not served to this network")
		return
	}
	if !g.known(r) {
		g.logger.Debug("pprof refused", "reason", "token", "client", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="pprof"`)
		serveError(w, http.StatusUnauthorized, "pprof needs a token here: Authorization: Bearer TOKEN")
		return
	}
	if r.ContentLength != 0 {
		// Nothing here reads a body, and nobody should make the server wait for one.
		w.Header().Set("Connection", "close")
		serveError(w, http.StatusRequestEntityTooLarge, "pprof takes no request body")
		return
	}
	g.next.ServeHTTP(w, r)
}

// near reports whether a client's address is in an allowed network.
func (g *guard) near(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := ap.Addr().Unmap().WithZone("")
	for _, p := range g.networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// known reports whether a request has one of the tokens. All are compared, so
// that the time does not tell which.
func (g *guard) known(r *http.Request) bool {
	if len(g.tokens) == 0 {
		return true
	}
	_, token, ok := r.BasicAuth()
	if !ok {
		scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return false
		}
		token = strings.TrimSpace(rest)
	}
	sum, found := sha256.Sum256([]byte(token)), 0
	for i := range g.tokens {
		found |= subtle.ConstantTimeCompare(sum[:], g.tokens[i][:])
	}
	return found == 1
}
