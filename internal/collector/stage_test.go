package collector

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/incident"
)

// password is part of every pull's credentials, and never of what comes back.
const password = "p/55+w0rd of <all>"

var basic = "Basic " + base64.StdEncoding.EncodeToString([]byte("profbot:"+password))

// fault is one thing that goes wrong, and how it must end.
type fault struct {
	name string

	mode pproftest.Mode         // of the target
	raw  func(net.Conn)         // answers each connection in place of the target's server; it is closed afterwards
	tls  *tls.Config            // the target speaks TLS
	at   func(*incident.Target) // changes who is asked
	opt  func(*Options)
	kind incident.Kind // "" means heap

	window time.Duration
	pulls  int           // pulls that come before, whatever their end
	pause  time.Duration // after those
	leave  time.Duration // when the caller goes away; 0 means never

	want     incident.Outcome
	words    string // N stands for any number of bytes that came
	retry    bool
	took     time.Duration // from the call to its end
	asked    time.Duration // of the target's CPU
	requests int           // that the target got; -1 means none, 0 means one, of a raw one not counted
	memory   int           // MiB that may be allocated in all, by both sides; 0 means 4
}

// play lets a fault happen in a bubble, in which time passes only when
// everybody waits and which no goroutine may outlive, and checks its end.
func (f fault) play(t *testing.T) {
	target := pproftest.New()
	defer target.Close()
	target.SetMode(f.mode)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var seen []Observation
		var conns atomic.Int32
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		opt := Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Observe: func(o Observation) { seen = append(seen, o) }}
		opt.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := p.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conns.Add(1)
			return &countedConn{Conn: c, n: &conns}, nil
		}
		if f.opt != nil {
			f.opt(&opt)
		}
		stop := f.serve(target, p)
		defer stop()
		c, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		at, kind := pod, f.kind
		at.Authorization = basic
		if f.tls != nil {
			at.URL, at.TLS = "https://live-api.live.svc:6060/debug/pprof", "live-api"
		}
		if f.at != nil {
			f.at(&at)
		}
		if kind == "" {
			kind = incident.KindHeap
		}
		for range f.pulls {
			_, _ = c.Pull(t.Context(), at, kind, f.window)
		}
		<-time.After(f.pause)
		ctx, leave := context.WithCancelCause(t.Context())
		defer leave(nil)
		if f.leave > 0 {
			defer time.AfterFunc(f.leave, func() { leave(errors.New("profbot is stopping")) }).Stop()
		}
		start, allocated := time.Now(), totalAlloc()
		got, err := c.Pull(ctx, at, kind, f.window)
		took, allocated := time.Since(start), totalAlloc()-allocated
		f.check(t, got, err)
		if took != f.took {
			t.Errorf("it took %s, want %s", took, f.took)
		}
		if most := uint64(max(f.memory, 4)) << 20; allocated > most {
			t.Errorf("%d bytes were allocated, want at most %d", allocated, most)
		}
		synctest.Wait()
		if n, running := conns.Load(), target.Running(); n != 0 || running != 0 {
			t.Errorf("%d connections are open, %d handlers run in the target", n, running)
		}
		want := f.pulls + max(f.requests, 1)
		if f.requests < 0 {
			want = f.pulls
		}
		if n := len(target.Requests()); f.raw == nil && n != want {
			t.Errorf("%d requests, want %d: %q", n, want, target.Requests())
		}
		if len(seen) != f.pulls+1 || seen[f.pulls].Outcome != f.want || seen[f.pulls].Asked != f.asked || seen[f.pulls].Took+seen[f.pulls].Waited != took {
			t.Errorf("observed %+v", seen)
		}
		if st := c.State(); st.CPU.Running+st.CPU.Waiting+st.Other.Running+st.Other.Waiting != 0 && kind != incident.KindAllocsBefore {
			t.Errorf("state %+v", st)
		}
		leaks(t, log.String())
	})
}

// serve answers what is dialled, by the raw function or the target's server,
// until stop.
func (f fault) serve(target *pproftest.Server, p *pipes) (stop func()) {
	var l net.Listener = p
	if f.tls != nil {
		l = tls.NewListener(p, f.tls)
	}
	if f.raw == nil {
		srv := &http.Server{Handler: target.Config.Handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go srv.Serve(l) // ended by stop
		return func() { srv.Close() }
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				f.raw(c)
			})
		}
	})
	return func() { p.Close(); wg.Wait() }
}

func (f fault) check(t *testing.T, got Profile, err error) {
	t.Helper()
	if got.Asked != f.asked {
		t.Errorf("asked %s, want %s", got.Asked, f.asked)
	}
	if f.want == incident.OutcomeStored {
		if err != nil || len(got.Data) == 0 {
			t.Errorf("error %v", err)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v (%T)", err, err)
	}
	what, words := e.Outcome()
	if strings.Contains(f.words, "after N bytes") {
		words = someBytes.ReplaceAllString(words, "after N bytes")
	}
	if what != f.want || words != f.words {
		t.Errorf("outcome %q, words\n\t%s\nwant %q,\n\t%s", what, words, f.want, f.words)
	}
	if e.Retryable() != f.retry {
		t.Errorf("retryable %v", e.Retryable())
	}
	if got.Data != nil {
		t.Error("a profile comes with the error")
	}
	leaks(t, e.Error())
}

var someBytes = regexp.MustCompile(`after [1-9]\d* bytes`)

// leaks fails when a text holds the credentials.
func leaks(t *testing.T, text string) {
	t.Helper()
	for _, s := range secretsOf(basic) {
		if strings.Contains(text, s) {
			t.Errorf("%q holds the secret %q", text, s)
		}
	}
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// countedConn counts itself out when it is closed for the first time.
type countedConn struct {
	net.Conn
	n    *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.n.Add(-1) })
	return c.Conn.Close()
}

// says reads a request and writes one answer.
func says(answer string) func(net.Conn) {
	return func(c net.Conn) {
		if hear(c) {
			_, _ = io.WriteString(c, answer) // the collector may have heard enough, here and below
		}
	}
}

// repeats reads a request, writes one text and then another one until the
// caller hangs up, with a pause before each.
func repeats(first, then string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		if !hear(c) {
			return
		}
		for _, err := io.WriteString(c, first); err == nil; _, err = io.WriteString(c, then) {
			if pause > 0 {
				<-time.After(pause)
			}
		}
	}
}

func hear(c net.Conn) bool {
	_, err := http.ReadRequest(bufio.NewReader(c))
	return err == nil
}

func ok(header, body string) string {
	return "HTTP/1.1 200 OK\r\n" + header + "\r\n" + body
}

// authority signs certificates of targets.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string) authority {
	a := authority{key: newKey()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: day(1990), NotAfter: day(2090),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = signed(template, template, a.key, a.key)
	return a
}

// pair is a certificate for a host name, until a year.
func (a authority) pair(host string, until int) tls.Certificate {
	key := newKey()
	var ips []net.IP
	if ip := net.ParseIP(host); ip != nil {
		ips = append(ips, ip)
	}
	cert := signed(&x509.Certificate{
		IPAddresses: ips, SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: day(1990), NotAfter: day(until), DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// trusting makes the collector trust a, with certificates of its own.
func trusting(a authority, own ...tls.Certificate) func(*Options) {
	return func(o *Options) {
		o.TLS = map[string]*tls.Config{"live-api": {RootCAs: a.pool(), Certificates: own}}
	}
}

// day is in the middle of a year: bubbles begin with the year 2000.
func day(year int) time.Time { return time.Date(year, 7, 1, 0, 0, 0, 0, time.UTC) }

func newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("make a key: %v", err))
	}
	return k
}

func signed(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		panic(fmt.Sprintf("sign a certificate: %v", err))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("read a certificate: %v", err))
	}
	return cert
}
