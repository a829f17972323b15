package collector

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// socketFault is a fault that needs the collector's own dialler. No packet
// leaves this machine: what is not on its loopback is never dialled.
type socketFault struct {
	name  string
	url   func(*testing.T) string // of the target
	opt   Options
	tls   bool // trust the authority
	want  incident.Outcome
	words string // ADDR stands for a loopback address with its port
	retry bool
}

func at(url string) func(*testing.T) string { return func(*testing.T) string { return url } }

const networks = "(10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 127.0.0.0/8, fc00::/7, ::1/128)"

var socketFaults = []socketFault{
	{name: "nobody listens", url: closedPort, want: away, retry: true, words: "dial tcp ADDR: connect: connection refused"},
	{name: "reset within the answer", url: resetting, want: away, retry: true, words: "read tcp ADDR->ADDR: read: connection reset by peer"},
	{name: "a name that does not exist", url: at("http://gone.example:6060/debug/pprof"), opt: Options{Resolver: resolver("")}, want: away, retry: true, words: "dial tcp: lookup gone.example on ADDR: no such host"},
	{name: "a name server that fails", url: at("http://gone.example:6060/debug/pprof"), opt: Options{Resolver: resolver("fail")}, want: away, retry: true, words: "dial tcp: lookup gone.example on ADDR: server misbehaving"},
	{name: "a name of a metadata address", url: at("http://live-api.example:80/debug/pprof"), opt: Options{Resolver: resolver("169.254.169.254")}, want: refused, words: "address 169.254.169.254 is a cloud's metadata address, which is never dialled"},
	{name: "a name of a link-local address", url: at("http://live-api.example:80/debug/pprof"), opt: Options{Resolver: resolver("169.254.7.7"), Networks: Everywhere()}, want: refused, words: "address 169.254.7.7 is a link-local address, which is never dialled"},
	{name: "a name of an address in disguise", url: at("http://live-api.example:80/debug/pprof"), opt: Options{Resolver: resolver("64:ff9b::a9fe:a9fe"), Networks: Everywhere()}, want: refused, words: "address 64:ff9b::a9fe:a9fe is an IPv4 address in disguise, which is never dialled"},
	{name: "a name that means the metadata address in disguise", url: at("http://live-api.example:80/debug/pprof"), opt: Options{Resolver: resolver("::ffff:169.254.169.254"), Networks: Everywhere()}, want: refused, words: "address 169.254.169.254 is a cloud's metadata address, which is never dialled"},
	{name: "a name of a public address", url: at("http://live-api.example:80/debug/pprof"), opt: Options{Resolver: resolver("203.0.113.7")}, want: refused, words: "address 203.0.113.7 is in none of the networks that pods may be in " + networks + ": see capture.networks"},
	{name: "metadata of most clouds", url: at("http://169.254.169.254/latest/meta-data"), opt: Options{Networks: Everywhere()}, want: refused, words: "address 169.254.169.254 is a cloud's metadata address, which is never dialled"},
	{name: "metadata of AWS by IPv6", url: at("http://[fd00:ec2::254]/latest"), want: refused, words: "address fd00:ec2::254 is a cloud's metadata address, which is never dialled"},
	{name: "metadata of Azure", url: at("http://168.63.129.16/"), opt: Options{Networks: Everywhere()}, want: refused, words: "address 168.63.129.16 is a cloud's metadata address, which is never dialled"},
	{name: "metadata of Alibaba", url: at("http://100.100.100.200/"), want: refused, words: "address 100.100.100.200 is a cloud's metadata address, which is never dialled"},
	{name: "metadata of Oracle", url: at("http://192.0.0.192/"), opt: Options{Networks: Everywhere()}, want: refused, words: "address 192.0.0.192 is a cloud's metadata address, which is never dialled"},
	{name: "link-local by IPv6", url: at("http://[fe80::1%25lo]:6060/debug/pprof"), opt: Options{Networks: Everywhere()}, want: refused, words: "address fe80::1 is a link-local address, which is never dialled"},
	{name: "an address without a host", url: at("http://0.0.0.0:6060/debug/pprof"), opt: Options{Networks: Everywhere()}, want: refused, words: "address 0.0.0.0 is an unspecified address, which is never dialled"},
	{name: "an address of a network that is not allowed", url: at("http://127.0.0.1:6060/debug/pprof"), opt: Options{Networks: prefixes("10.9.0.0/16")}, want: refused, words: "address 127.0.0.1 is in none of the networks that pods may be in (10.9.0.0/16): see capture.networks"},
	{name: "no network at all is allowed", url: at("http://127.0.0.1:6060/debug/pprof"), opt: Options{Networks: []netip.Prefix{}}, want: refused, words: "address 127.0.0.1 is in none of the networks that pods may be in (none): see capture.networks"},

	{name: "certificate of the past", url: tlsTarget(ours.pair("127.0.0.1", 1999)), tls: true, want: away, words: "its certificate is not trusted: tls: failed to verify certificate: x509: certificate has expired or is not yet valid: TIME"},
	{name: "certificate of another host", url: tlsTarget(ours.pair("gift-api.gift.svc", 2080)), tls: true, want: away, words: "its certificate is not trusted: tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"},
	{name: "certificate of an unknown authority", url: tlsTarget(theirs.pair("127.0.0.1", 2080)), tls: true, want: away, words: "its certificate is not trusted: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
}

func TestSocketFaults(t *testing.T) {
	for _, f := range socketFaults {
		t.Run(f.name, func(t *testing.T) {
			opt := f.opt
			if f.tls {
				trusting(ours)(&opt)
			}
			c, err := New(opt)
			if err != nil {
				t.Fatal(err)
			}
			tgt := incident.Target{Service: "live-api", Pod: "live-api-0", URL: f.url(t), Authorization: basic}
			if f.tls {
				tgt.TLS = "live-api"
			}
			start := time.Now()
			_, err = c.Pull(t.Context(), tgt, incident.KindCPU, time.Second)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if words := masked(e.Words); e.What != f.want || words != f.words || e.Retryable() != f.retry {
				t.Errorf("outcome %q, retryable %v, words\n\t%s\nwant %q\n\t%s", e.What, e.Retryable(), words, f.want, f.words)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			leaks(t, e.Error())
		})
	}
	if n := len(answers) + len(bombs) + len(connections) + len(rules) + len(socketFaults); n < 60 {
		t.Errorf("%d faults are in the tables", n)
	} else {
		t.Logf("%d faults are in the tables", n)
	}
}

var nameServer = regexp.MustCompile(` on \S+:53:`) // that of this machine, which is never asked

// masked hides what differs from run to run.
func masked(words string) string {
	fields := strings.Fields(words)
	for i, f := range fields {
		for part := range strings.SplitSeq(f, "->") {
			if host, port, err := net.SplitHostPort(strings.TrimSuffix(part, ":")); err == nil && host == "127.0.0.1" {
				fields[i] = strings.Replace(fields[i], host+":"+port, "ADDR", 1)
			}
		}
	}
	words = nameServer.ReplaceAllString(strings.Join(fields, " "), " on ADDR:")
	if i := strings.Index(words, "not yet valid: "); i >= 0 {
		words = words[:i] + "not yet valid: TIME"
	}
	return words
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // closed before by some
	return l
}

func closedPort(t *testing.T) string {
	l := listener(t)
	_ = l.Close()
	return "http://" + l.Addr().String() + "/debug/pprof"
}

// resetting answers half and then resets the connection.
func resetting(t *testing.T) string {
	l := listener(t)
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() { // ended by the cleanup
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_ = c.(*net.TCPConn).SetLinger(0) // closing it resets it
		}
		_ = c.Close()
	}()
	return "http://" + l.Addr().String() + "/debug/pprof"
}

func tlsTarget(cert tls.Certificate) func(*testing.T) string {
	return func(t *testing.T) string {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL + "/debug/pprof"
	}
}

// resolver knows one address for every name, or that there is none, or fails.
// Its name server answers over a pipe.
func resolver(answer string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() { // ended by the resolver, which closes its end
			defer server.Close()
			for {
				head := make([]byte, 2) // TCP's framing: this is no packet connection
				if _, err := io.ReadFull(server, head); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(head))
				if _, err := io.ReadFull(server, q); err != nil {
					return
				}
				a := nameAnswer(q, answer)
				if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
}

// nameAnswer answers one question of DNS (RFC 1035, section 4).
func nameAnswer(q []byte, answer string) []byte {
	end := 12
	for q[end] != 0 {
		end += 1 + int(q[end])
	}
	kind := binary.BigEndian.Uint16(q[end+1:])
	end += 5 // the root, type and class
	a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	addr, err := netip.ParseAddr(answer)
	switch {
	case answer == "fail":
		a[3] |= 2 // SERVFAIL
	case err != nil:
		a[3] |= 3 // NXDOMAIN
	case kind == 1 && addr.Is4() || kind == 28 && addr.Is6():
		b := addr.AsSlice()
		a[7] = 1 // one answer: the name of the question, its type, IN, for a minute
		a = append(a, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 60, 0, byte(len(b)))
		a = append(a, b...)
	}
	return a
}

// TestMain makes sure that the tests leave no goroutine of the collector or of
// a transport behind.
func TestMain(m *testing.M) {
	if run := os.Getenv("COLLECTOR_TEST_PROCESS"); run != "" {
		processes[run]()
		return
	}
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	for code == 0 {
		var b strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a Builder does not fail
		left := strings.Contains(b.String(), "internal/collector.(") || strings.Contains(b.String(), "net/http.(*persistConn)")
		if !left {
			break
		}
		if time.Now().After(deadline) {
			println("goroutines are left:\n" + b.String())
			code = 1
		}
	}
	os.Exit(code)
}
