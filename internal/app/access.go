package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/incident"
)

// collectorOptions are the configuration's part of the collector's options.
func collectorOptions(cfg *config.Config) (collector.Options, error) {
	c := cfg.Capture
	opt := collector.Options{
		MaxBytes: c.MaxBytes, MaxRawBytes: c.MaxRawBytes,
		Simultaneous: c.Simultaneous, PerService: c.PerService, PerNode: c.PerNode, Jitter: c.Jitter, Failures: c.Failures,
		Networks: make([]netip.Prefix, 0, len(c.Networks)), // none means none
		TLS:      map[string]*tls.Config{},
	}
	for _, n := range c.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return opt, fmt.Errorf("capture.networks: %w", err)
		}
		opt.Networks = append(opt.Networks, p.Masked())
	}
	for _, s := range cfg.Services {
		name := tlsName(s)
		if name == "" {
			continue
		}
		t, key, err := tlsConfig(s.TLS)
		if err != nil {
			return opt, fmt.Errorf("tls of service %q: %s: %w", s.Name, key, err)
		}
		opt.TLS[name] = t
	}
	return opt, nil
}

// access puts on a target what its service's configuration says about how to
// ask it.
func access(t incident.Target, s config.Service) incident.Target {
	t.Authorization = s.Authorization.Reveal()
	if s.User != "" {
		t.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(s.User+":"+s.Password.Reveal()))
	}
	t.TLS = tlsName(s)
	return t
}

// tlsName is what the collector knows a service's TLS settings by; "" when it
// has none. Equal settings have one name: a service may be listed more than
// once, for an env or a namespace.
func tlsName(s config.Service) string {
	if s.TLS == (config.TLS{}) {
		return ""
	}
	return fmt.Sprintf("ca %q, cert %q, key %q, server name %q", s.TLS.CA, s.TLS.Cert, s.TLS.Key, s.TLS.ServerName)
}

// tlsConfig reads a service's files. The certificate is read again for every
// handshake, since those of a cluster are renewed while profbot runs. An error
// is about one key.
func tlsConfig(s config.TLS) (out *tls.Config, key string, err error) {
	out = &tls.Config{ServerName: s.ServerName, MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, "ca", err
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, "ca", errors.New("the file holds no certificate in PEM")
		}
	}
	if s.Cert != "" {
		read := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
			return &pair, err
		}
		if _, err := os.ReadFile(s.Key); err != nil {
			return nil, "key", err
		}
		if _, err := read(nil); err != nil {
			return nil, "cert", err
		}
		out.GetClientCertificate = read
	}
	return out, "", nil
}
