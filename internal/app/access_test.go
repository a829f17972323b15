package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/incident"
)

// TestAccess pulls a pod that asks for a certificate and a password, as a
// configuration describes it, and renews the certificate while it runs.
func TestAccess(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, key)
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate was made:", err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	target := pproftest.New()
	defer target.Close()
	var names []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ops" || password != "s3cr3t: of ops" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		names = append(names, r.TLS.PeerCertificates[0].SerialNumber.String())
		target.Config.Handler.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()

	cfg := &config.Config{Services: []config.Service{{
		Name: "live-api", Env: "prod", User: "ops", Password: "s3cr3t: of ops",
		TLS:     config.TLS{CA: cert, Cert: cert, Key: key, ServerName: "live-api.live.svc"},
		Targets: []config.Target{{Pod: "live-api-0", URL: s.URL + "/debug/pprof"}},
	}}, Capture: config.Capture{Networks: []string{"127.0.0.1/8"}}}
	opt, err := collectorOptions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := collector.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	at := targets(cfg)[0]
	for range 2 {
		if _, err := c.Pull(t.Context(), at, incident.KindHeap, 0); err != nil {
			t.Fatal(err)
		}
		write(t, cert, key)
	}
	if len(names) != 2 || names[0] == names[1] {
		t.Errorf("certificates %q were shown, want a renewed one", names)
	}
	target.SetMode(pproftest.Idle)
	got, err := c.Pull(t.Context(), at, incident.KindCPU, time.Second)
	if err != nil || got.Asked != time.Second || got.Window != time.Second || got.Started.IsZero() {
		t.Errorf("pulled %+v, error %v", got, err)
	}
	at.TLS = ""
	if _, err := c.Pull(t.Context(), at, incident.KindHeap, 0); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the settings: %v", err)
	}
}

// TestAccessFaults: files that cannot be used are named at the start.
func TestAccessFaults(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]config.TLS{
		`tls of service "live-api": ca: the file holds no certificate in PEM`: {CA: empty},
		"ca: open " + filepath.Join(dir, "gone.pem") + ": no such file":       {CA: filepath.Join(dir, "gone.pem")},
		"cert: tls: failed to find":                                           {Cert: empty, Key: empty},
		"key: open " + filepath.Join(dir, "gone.pem"):                         {Cert: empty, Key: filepath.Join(dir, "gone.pem")},
	} {
		_, err := collectorOptions(&config.Config{Services: []config.Service{{Name: "live-api", TLS: s}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

var serial int64

// write makes a certificate that signs itself.
func write(t *testing.T, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "live-api"}, DNSNames: []string{"live-api.live.svc"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
