package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
)

// server is somebody who is called over the internet.
type server struct {
	host string // of the address that everybody uses: "slack.com"
	url  string // that is configured in its place; "" for none
	key  string // where: "slack.api_url"
}

// reach is the next step where a server was not reached.
func (s server) reach(err error) string {
	host := net.JoinHostPort(s.host, "443")
	if u, e := url.Parse(s.url); s.url != "" && e == nil {
		host = u.Host
	}
	_, noName := errors.AsType[*net.DNSError](err)
	_, badCert := errors.AsType[*tls.CertificateVerificationError](err)
	op, _ := errors.AsType[*net.OpError](err)
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		return "run it again to its end"
	case op != nil && op.Op == "proxyconnect", strings.Contains(text, "Proxy Authentication Required"):
		return "correct HTTPS_PROXY (http://USER:PASSWORD@PROXY:PORT) in profbot's environment: that proxy does not let it through"
	case badCert:
		return fmt.Sprintf("a proxy that opens the connection shows a certificate of its own: set SSL_CERT_FILE to a file with its authority; or correct the clock; see it with: openssl s_client -connect %s", host)
	case s.url != "":
		return fmt.Sprintf("correct %s, or empty it to call %s itself; try from the same place: curl -sS %s", s.key, s.host, s.url)
	case noName:
		return fmt.Sprintf("look at the DNS where profbot runs (nslookup %s); behind a proxy set HTTPS_PROXY", s.host)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return fmt.Sprintf("a firewall turns profbot away: let it out to %s, or through a proxy by HTTPS_PROXY; try from the same place: curl -sS https://%s", host, s.host)
	}
	return fmt.Sprintf("let profbot out to %s (firewall, egress of its NetworkPolicy), or through a proxy by HTTPS_PROXY; try from the same place: curl -sS https://%s", host, s.host)
}
