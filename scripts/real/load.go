// Command real puts load on a server on this machine, for docs/real-servers.md:
//
//	go run ./scripts/real -for 20s -c 4 http://127.0.0.1:9090 <prometheus.load
//	go run ./scripts/real -for 20s -c 4 nats://127.0.0.1:4222
//
// Each line of standard input is a weight, a method, a path and, for some
// methods, a body to the end of the line. Path and body are text/templates with
// these functions: rand N is a number below N, seq counts up, now is the time
// in seconds and ago N that of N seconds earlier, nanos is the time in
// nanoseconds, times N is a list to range over, b64 encodes, and text N is a
// line of N bytes that no compressor makes small.
// Lines that start with # are remarks, and lines that start with "header"
// a name and a value for every request.
//
// It sends to loopback addresses only, for a bounded time, and no more
// requests than -rate allows.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"text/template"
	"time"
)

// maxDuration bounds every run, whatever -for says.
const maxDuration = 5 * time.Minute

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() error {
	dur := flag.Duration("for", 20*time.Second, "how long to send")
	workers := flag.Int("c", 4, "requests under way at a time")
	rate := flag.Int("rate", 2000, "requests a second at the most")
	free := flag.Int("free", 0, "print so many free TCP ports and end")
	flag.Parse()
	if *free > 0 {
		return freePorts(context.Background(), *free)
	}
	base, err := url.Parse(flag.Arg(0))
	if err != nil {
		return err
	}
	if err := onlyLoopback(base); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, min(*dur, maxDuration))
	defer cancel()
	if base.Scheme == "nats" {
		return pubsub(ctx, base.Host, *workers, *rate)
	}
	s, err := parse(os.Stdin)
	if err != nil {
		return err
	}
	return s.send(ctx, os.Stdout, strings.TrimSuffix(base.String(), "/"), *workers, *rate)
}

// onlyLoopback refuses addresses that are not of this machine, names included.
func onlyLoopback(u *url.URL) error {
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil || !a.IsLoopback() {
		return fmt.Errorf("%q: want a URL with a loopback address such as 127.0.0.1", u)
	}
	return nil
}

// request is one line of the scenario.
type request struct {
	method     string
	path, body *template.Template
	name       string // method and path as written, for the summary
	sent       atomic.Int64
	failed     atomic.Int64 // answered with 400 or more, or not at all
}

// scenario is what parse read: the requests, each as often in draw as its
// weight says.
type scenario struct {
	header   http.Header
	requests []*request
	draw     []*request
}

func parse(r io.Reader) (*scenario, error) {
	s := &scenario{header: http.Header{}}
	funcs := template.FuncMap{
		"rand":  rand.IntN,
		"seq":   sequence(),
		"now":   func() int64 { return time.Now().Unix() },
		"ago":   func(n int64) int64 { return time.Now().Unix() - n },
		"nanos": func() int64 { return time.Now().UnixNano() },
		"times": func(n int) []struct{} { return make([]struct{}, n) },
		"b64":   func(v any) string { return base64.StdEncoding.EncodeToString(fmt.Append(nil, v)) },
		"text":  text,
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "header "); ok {
			k, v, _ := strings.Cut(rest, " ")
			s.header.Set(k, v)
			continue
		}
		var weight int
		var method string
		if _, err := fmt.Sscan(line, &weight, &method); err != nil || weight < 1 {
			return nil, fmt.Errorf("line %d: want WEIGHT METHOD PATH [BODY], got %q", n, line)
		}
		_, rest, _ := strings.Cut(line, method+" ")
		path, body := cutTemplate(strings.TrimSpace(rest))
		q := &request{method: method, name: method + " " + path}
		var err error
		if q.path, err = template.New("path").Funcs(funcs).Parse(path); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if q.body, err = template.New("body").Funcs(funcs).Parse(body); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		s.requests = append(s.requests, q)
		for range weight {
			s.draw = append(s.draw, q)
		}
	}
	if len(s.draw) == 0 {
		return nil, errors.Join(errors.New("no request on standard input"), lines.Err())
	}
	return s, lines.Err()
}

// cutTemplate splits a path from the body behind it: at the first space that is
// not inside {{ }}.
func cutTemplate(s string) (path, body string) {
	depth := 0
	for i := range len(s) {
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			depth++
		case strings.HasPrefix(s[i:], "}}"):
			depth--
		case s[i] == ' ' && depth == 0:
			return s[:i], strings.TrimSpace(s[i:])
		}
	}
	return s, ""
}

func sequence() func() int64 {
	var n atomic.Int64
	return func() int64 { return n.Add(1) }
}

func text(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// send has workers goroutines send requests until ctx ends, and prints to out
// what became of them. It waits for all of them.
func (s *scenario) send(ctx context.Context, out io.Writer, base string, workers, rate int) error {
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: workers},
		// A registry answers with redirects to other addresses; load stays here.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	start := time.Now()
	tick := pace(ctx, rate)
	var firstErr atomic.Pointer[string]
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range tick {
				q := s.draw[rand.IntN(len(s.draw))]
				err := s.one(ctx, client, base, q)
				if ctx.Err() != nil {
					return
				}
				q.sent.Add(1)
				if err != nil {
					q.failed.Add(1)
					text := q.name + ": " + err.Error()
					firstErr.CompareAndSwap(nil, &text)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start).Seconds()
	for _, q := range s.requests {
		fmt.Fprintf(out, "%8.1f/s  %6d failed  %s\n", float64(q.sent.Load())/took, q.failed.Load(), q.name)
	}
	if e := firstErr.Load(); e != nil {
		fmt.Fprintln(out, "first failure:", *e)
	}
	return nil
}

// one sends one request and reads its answer. An answer of 400 or above is an error.
func (s *scenario) one(ctx context.Context, client *http.Client, base string, q *request) error {
	var path, body strings.Builder
	if err := q.path.Execute(&path, nil); err != nil {
		return err
	}
	if err := q.body.Execute(&body, nil); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, q.method, base+path.String(), strings.NewReader(strings.ReplaceAll(body.String(), `\n`, "\n")))
	if err != nil {
		return err
	}
	req.Header = s.header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		said, err := io.ReadAll(io.LimitReader(resp.Body, 300))
		return errors.Join(fmt.Errorf("%s: %s", resp.Status, said), err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// pace hands out rate turns a second until ctx ends, in bursts of up to 10 ms.
func pace(ctx context.Context, rate int) <-chan struct{} {
	turns := make(chan struct{})
	go func() {
		defer close(turns)
		start := time.Now()
		for n := 0; ; n++ {
			early := time.Duration(n)*time.Second/time.Duration(rate) - time.Since(start)
			if early > 10*time.Millisecond {
				select {
				case <-time.After(early):
				case <-ctx.Done():
					return
				}
			}
			select {
			case turns <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return turns
}

// freePorts prints n ports on which nobody listens now.
func freePorts(ctx context.Context, n int) error {
	for range n {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // all at the end, so that no port comes twice
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
	}
	return nil
}

// dial opens a TCP connection that ends with ctx.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, nil
}
