package collector

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/incident"
)

const (
	stored   = incident.OutcomeStored
	busy     = incident.OutcomeBusy
	noPprof  = incident.OutcomeNoPprof
	denied   = incident.OutcomeDenied
	away     = incident.OutcomeUnreachable
	timeout  = incident.OutcomeTimeout
	tooLarge = incident.OutcomeTooLarge
	noProf   = incident.OutcomeNotProfile
	failed   = incident.OutcomeTargetError
	moved    = incident.OutcomeMoved
	refused  = incident.OutcomeRefused
	resting  = incident.OutcomeResting
	canceld  = incident.OutcomeCanceled
)

// answers are faults of what the target says.
var answers = []fault{
	{name: "profiler busy", mode: pproftest.Busy, kind: incident.KindCPU, window: 30 * time.Second, want: busy, retry: true, words: "Could not enable CPU profiling: cpu profiling already in use"},
	{name: "404", mode: pproftest.NoPprof, want: noPprof, words: `HTTP 404 at /debug/pprof/heap: import net/http/pprof in the service and check the path (it says "404 page not found")`},
	{name: "404 of pprof itself", raw: says("HTTP/1.1 404 Not Found\r\nX-Go-Pprof: 1\r\n\r\nUnknown profile\n"), want: noPprof, words: `HTTP 404: its pprof has no such profile (it says "Unknown profile")`},
	{name: "401", raw: says("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"ops\"\r\n\r\nwho are you"), want: denied, words: `HTTP 401: check authorization in the service's configuration (it says "who are you")`},
	{name: "403", mode: pproftest.Forbidden, want: denied, words: `HTTP 403: check authorization in the service's configuration (it says "RBAC: access denied")`},
	{name: "405", raw: says("HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\n\r\n"), want: noPprof, words: "HTTP 405 at /debug/pprof/heap: import net/http/pprof in the service and check the path"},
	{name: "410", raw: says("HTTP/1.1 410 Gone\r\n\r\n"), want: noPprof, words: "HTTP 410 at /debug/pprof/heap: import net/http/pprof in the service and check the path"},
	{name: "400", raw: says("HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), want: failed, words: "HTTP 400: Client sent an HTTP request to an HTTPS server."},
	{name: "redirect to another host", mode: pproftest.Redirect, want: noPprof, words: `HTTP 302: it points to host "localhost", and redirects are not followed`},
	{name: "redirect to metadata", mode: pproftest.Metadata, want: noPprof, words: `HTTP 307: it points to host "169.254.169.254", and redirects are not followed`},
	{name: "redirect to nowhere", raw: says("HTTP/1.1 301 Moved Permanently\r\n\r\n"), want: noPprof, words: "HTTP 301: it points to nowhere, and redirects are not followed"},
	{name: "redirect that repeats the credentials", raw: says("HTTP/1.1 302 Found\r\nLocation: http://" + strings.TrimPrefix(basic, "Basic ") + ".example/\r\n\r\n"), want: noPprof, words: `HTTP 302: it points to host "[...].example", and redirects are not followed`},
	{name: "429", mode: pproftest.TooMany, want: failed, retry: true, words: "HTTP 429: slow down (it asks to wait 7s)"},
	{name: "500", mode: pproftest.Broken, want: failed, words: "HTTP 500: it [31mbroke[0m <!channel> " + strings.Repeat("x", 173) + "…"},
	{name: "502", mode: pproftest.BadGateway, want: failed, retry: true, words: "HTTP 502: <html> <head><title>502 Bad Gateway</title></head> </html>"},
	{name: "503", mode: pproftest.Overloaded, want: failed, retry: true, words: "HTTP 503: no healthy upstream (it asks to wait 30s)"},
	{name: "503 until a time", raw: says("HTTP/1.1 503 Service Unavailable\r\nRetry-After: Sat, 01 Jan 2000 00:02:00 GMT\r\n\r\n"), want: failed, retry: true, words: "HTTP 503: (no text) (it asks to wait 2m0s)"},
	{name: "504", mode: pproftest.Late, want: failed, retry: true, words: "HTTP 504: upstream request timeout"},
	{name: "204", mode: pproftest.NoContent, want: failed, words: "HTTP 204: (no text)"},
	{name: "206", raw: says("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\n\r\nab"), want: failed, words: "HTTP 206: ab"},
	{name: "101", raw: repeats("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: spdy\r\n\r\n", "", time.Second), want: failed, took: 5 * time.Second, words: "HTTP 101: (no text)"},
	{name: "500 without its words", mode: pproftest.Mute, want: failed, took: 5 * time.Second, words: "HTTP 500: (no text)"},
	{name: "500 with the credentials", mode: pproftest.Echo, want: failed, words: "HTTP 500: not for [...]"},
	{name: "500 with the credentials, encoded", mode: pproftest.EchoEncoded, want: failed, words: `HTTP 500: not for [...] | [...] | [...] | [...] | [...] | "[...]" | [...]`},
	{name: "500 with half of the credentials at the end of what is read", raw: says("HTTP/1.1 500 Oh\r\n\r\n" + strings.Repeat(" ", excerptBytes-12) + basic), want: failed, words: "HTTP 500: (no text)"},

	{name: "HTML", mode: pproftest.Page, want: noProf, words: `it begins with "<!doctype html><title>Welcome</title>"`},
	{name: "JSON", mode: pproftest.JSON, want: noProf, words: `it begins with "{\"code\":0,\"message\":\"ok\"}"`},
	{name: "a profile for people", mode: pproftest.Text, want: noProf, words: `it begins with "goroutine profile: total 3 1 @ 0x43e0ce 0x44f4a5"`},
	{name: "a picture", raw: says(ok("Content-Type: image/png\r\n", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")), want: noProf, words: "it is neither text nor a profile"},
	{name: "nothing", mode: pproftest.Empty, want: noProf, words: "the answer is empty"},
	{name: "another kind", mode: pproftest.Heap, kind: incident.KindCPU, window: time.Second, want: noProf, words: "it is a profile of alloc_objects, alloc_space, inuse_objects, inuse_space, and one of cpu was asked for"},
	{name: "a profile of an idle pod", mode: pproftest.Idle, kind: incident.KindCPU, window: time.Second, want: stored, asked: time.Second},
	{name: "an uncompressed profile", mode: pproftest.Raw, want: stored},
	{name: "cut off", mode: pproftest.Cut, want: noProf, retry: true, words: "the profile is cut off"},
	{name: "compressed twice", mode: pproftest.Twice, want: noProf, words: "it is compressed twice: something before the pod compresses what is compressed already"},
	{name: "two profiles in one", mode: pproftest.Joined, want: noProf, words: "more bytes follow the profile"},
	{name: "another encoding", mode: pproftest.Brotli, want: noProf, words: `it is encoded with "br", which was not asked for`},
	{name: "a number of more than 64 bits", mode: pproftest.Overflow, want: noProf, words: "it is neither text nor a profile"},
	{name: "a damaged profile", raw: says(ok("", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff")), want: noProf, retry: true, words: "the profile is damaged: flate: corrupt input before offset 1"},
}

// bombs are faults of how much the target says.
var bombs = []fault{
	{name: "a string of 16 MiB in 16 KiB", mode: pproftest.Bomb, opt: func(o *Options) { o.MaxRawBytes = 1 << 20 }, want: tooLarge, words: "it unpacks to more than the limit of 1048576 bytes"},
	{name: "the same within the limits", mode: pproftest.Bomb, want: noProf, words: "it is a profile of (no text), and one of alloc_space was asked for"},
	{name: "256 MiB in 256 KiB", mode: pproftest.BigBomb, want: tooLarge, words: "it unpacks to more than the limit of 67108864 bytes"},
	{name: "2 million samples", mode: pproftest.Samples, kind: incident.KindCPU, window: time.Second, want: tooLarge, words: "it holds more than 1000000 samples"},
	{name: "2 million locations", mode: pproftest.Locations, kind: incident.KindCPU, window: time.Second, want: tooLarge, words: "it holds more than 1000000 locations"},
	{name: "2 million strings", mode: pproftest.Strings, kind: incident.KindCPU, window: time.Second, want: tooLarge, words: "it holds more than 1000000 strings"},
	{name: "a stack of 2 million frames", mode: pproftest.Frames, opt: func(o *Options) { o.MaxSamples = 100_000 }, kind: incident.KindCPU, window: time.Second, want: tooLarge, words: "it holds more than 1600000 frames, values and labels"},
	{name: "a profile without end", mode: pproftest.Endless, opt: func(o *Options) { o.MaxBytes = 1 << 20 }, memory: 12, want: tooLarge, words: "it sends more than the limit of 1048576 bytes"},
	{name: "1 TiB announced", mode: pproftest.Promise, want: tooLarge, words: "it announces 1099511627776 bytes, the limit is 67108864"},
	{name: "headers without end", raw: repeats("HTTP/1.1 200 OK\r\n", "X-Filler: "+strings.Repeat("x", 4000)+"\r\n", 0), want: noPprof, words: "its answer is no HTTP: net/http: server response headers exceeded 65536 bytes; aborted"},
	{name: "one header line without end", raw: repeats("HTTP/1.1 200 OK\r\nX-Filler: ", strings.Repeat("x", 4000), 0), want: noPprof, words: "its answer is no HTTP: net/http: server response headers exceeded 65536 bytes; aborted"},
	{name: "100 Continue without end", raw: repeats("", "HTTP/1.1 100 Continue\r\n\r\n", 0), want: noPprof, words: `its answer is no HTTP: net/http: server response headers exceeded 65536 bytes; aborted`},
	{name: "103 Early Hints without end", raw: repeats("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0), want: noPprof, words: `its answer is no HTTP: net/http: server response headers exceeded 65536 bytes; aborted`},
	{name: "a trailer without end", raw: repeats(ok("Transfer-Encoding: chunked\r\nTrailer: X-Filler\r\n", "2\r\nab\r\n0\r\n"), "X-Filler: "+strings.Repeat("x", 4000)+"\r\n", 0), want: noProf, retry: true, words: `the answer is damaged: http: suspiciously long trailer after chunked body`},
	{name: "a chunk extension without end", raw: repeats(ok("Transfer-Encoding: chunked\r\n", "2;"), strings.Repeat("x", 4000), 0), want: noProf, retry: true, words: `the answer is damaged: header line too long`},
	{name: "chunks of one byte without end", raw: repeats(ok("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n"), strings.Repeat("1\r\nx\r\n", 1000), 0), opt: func(o *Options) { o.MaxBytes = 1 << 18 }, want: tooLarge, words: "it sends more than the limit of 262144 bytes"},
}

// connections are faults of how the target says it.
var connections = []fault{
	{name: "closed without an answer", mode: pproftest.Reset, want: away, retry: true, words: "the connection was closed without an answer"},
	{name: "closed within the headers", raw: says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"), want: away, retry: true, words: "the connection was closed without an answer"},
	{name: "shorter than announced", mode: pproftest.Short, want: away, retry: true, words: `the connection was closed in the middle of the answer, after N bytes`},
	{name: "closed within a chunk", raw: says(ok("Transfer-Encoding: chunked\r\n", "ff\r\nabc")), want: away, retry: true, words: "the connection was closed in the middle of the answer, after 3 bytes"},
	{name: "not HTTP", raw: says("SSH-2.0-OpenSSH_9.9\r\n"), want: noPprof, words: `its answer is no HTTP: malformed HTTP response "SSH-2.0-OpenSSH_9.9"`},
	{name: "HTTP/2 alone", raw: says("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x00\x10\x00\x00\r\n"), want: noPprof, words: `its answer is no HTTP: malformed HTTP response "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x04\x00\x10\x00\x00"`},
	{name: "not HTTP, with the credentials", raw: says(basic + "\r\n"), want: noPprof, words: `its answer is no HTTP: malformed HTTP status code "[...]"`},
	{name: "a status that is no number", raw: says("HTTP/1.1 two hundred\r\n\r\n"), want: noPprof, words: `its answer is no HTTP: malformed HTTP status code "two"`},
	{name: "a length below zero", raw: says(ok("Content-Length: -1\r\n", "x")), want: noPprof, words: `its answer is no HTTP: bad Content-Length "-1"`},
	{name: "two lengths", raw: says(ok("Content-Length: 1\r\nContent-Length: 2\r\n", "xy")), want: noPprof, words: `its answer is no HTTP: http: message cannot contain multiple Content-Length headers; got ["1" "2"]`},
	{name: "an unknown transfer encoding", raw: says(ok("Transfer-Encoding: gzip\r\n", "x")), want: noPprof, words: `its answer is no HTTP: unsupported transfer encoding: "gzip"`},
	{name: "chunks of garbage", raw: says(ok("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n")), want: noProf, retry: true, words: `the answer is damaged: invalid byte in chunk length`},
	{name: "a chunk of 2^64 bytes", raw: says(ok("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc\r\n")), want: noProf, retry: true, words: `the answer is damaged: http chunk length too large`},

	{name: "no answer", mode: pproftest.Hang, kind: incident.KindCPU, window: 30 * time.Second, want: timeout, took: 45 * time.Second, asked: 30 * time.Second, words: "no complete answer within 45s"},
	{name: "no answer, and no window", mode: pproftest.Hang, want: timeout, took: 15 * time.Second, words: "no complete answer within 15s"},
	{name: "half a profile and silence", mode: pproftest.Slow, want: timeout, took: 5 * time.Second, words: `nothing came for 5s in the middle of the answer, after N bytes`},
	{name: "half a CPU profile and silence", raw: repeats(ok("", "ab"), "", time.Second), kind: incident.KindCPU, window: 30 * time.Second, want: timeout, took: 35 * time.Second, asked: 30 * time.Second, words: "nothing came for 5s in the middle of the answer, after 2 bytes"},
	{name: "a byte a second", mode: pproftest.Drip, want: timeout, took: 15 * time.Second, words: "no complete answer within 15s, after N bytes"},
	{name: "headers a byte a second", raw: repeats("HTTP/1.1 200 OK\r\nX-Filler: ", "x", time.Second), want: timeout, took: 15 * time.Second, words: "no complete answer within 15s"},
	{name: "a request that is not read", raw: func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); <-time.After(time.Minute) }, want: timeout, took: 15 * time.Second, words: "no complete answer within 15s"},
	{name: "nobody picks up", opt: func(o *Options) {
		o.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	}, want: timeout, took: 15 * time.Second, requests: -1, words: "no complete answer within 15s"},

	{name: "certificate of ours wanted", tls: wanting, raw: shakeHands, opt: trusting(ours), want: denied, words: `it wants another client certificate: check tls in the service's configuration (remote error: tls: certificate required)`},
	{name: "certificate of ours not known", tls: wanting, raw: shakeHands, opt: trusting(ours, theirs.pair("profbot", 2080)), want: denied, words: `it wants another client certificate: check tls in the service's configuration (remote error: tls: certificate required)`},
	{name: "certificates that fit", tls: wanting, mode: pproftest.Real, opt: trusting(ours, ours.pair("profbot", 2080)), want: stored},
	{name: "TLS of the past", tls: &tls.Config{Certificates: []tls.Certificate{ours.pair(host, 2080)}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, opt: trusting(ours), want: away, requests: -1, words: `remote error: tls: protocol version not supported`},
	{name: "no TLS", at: func(t *incident.Target) { t.URL = "https://live-api.live.svc:6060/debug/pprof" }, raw: func(c net.Conn) {
		_, _ = c.Read(make([]byte, 9999))
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}, want: away, words: `it does not speak TLS: http: server gave HTTP response to HTTPS client`},
	{name: "a handshake that does not end", at: func(t *incident.Target) { t.URL = "https://live-api.live.svc:6060/debug/pprof" }, raw: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, want: away, took: 3 * time.Second, retry: true, words: `net/http: TLS handshake timeout`},
}

const host = "live-api.live.svc"

var (
	ours, theirs = newAuthority("ours"), newAuthority("theirs")
	wanting      = &tls.Config{Certificates: []tls.Certificate{ours.pair(host, 2080)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool()}
)

// shakeHands is a target that hears the caller out after it has refused him.
func shakeHands(c net.Conn) {
	if c.(*tls.Conn).Handshake() != nil {
		_, _ = io.Copy(io.Discard, c.(*tls.Conn).NetConn())
	}
}

// rules are faults that are noticed here.
var rules = []fault{
	{name: "the pod moved", opt: confirming(func(context.Context) error { return movedError{} }), want: moved, requests: -1, words: "10.0.0.1 belongs to gift-api-7 by now"},
	{name: "the pod's identity cannot be asked for", opt: confirming(func(context.Context) error { return errors.New("the API server says 500 to " + basic) }), want: incident.OutcomeDiscovery, retry: true, requests: -1, words: "not asked, since whether it is still the chosen pod is not known: the API server says 500 to [...]"},
	{name: "the pod's identity is not told", opt: confirming(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), want: incident.OutcomeDiscovery, retry: true, took: 5 * time.Second, requests: -1, words: "not asked, since whether it is still the chosen pod is not known: no answer within 5s"},
	{name: "a kind that is switched off", kind: incident.KindAllocsAfter, at: func(t *incident.Target) {
		t.Refuses, t.Found = []incident.Kind{incident.KindAllocsBefore}, "annotation profiles.grafana.com/memory.scrape"
	}, want: refused, requests: -1, words: "the pod's owner has switched off allocs profiles (annotation profiles.grafana.com/memory.scrape)"},
	{name: "a way that is not set up", at: func(t *incident.Target) { t.Via = incident.ViaProxy }, want: away, requests: -1, words: "it is reached by proxy, which is not set up"},
	{name: "a way on which the cluster says no", at: func(t *incident.Target) { t.Via = incident.ViaProxy }, opt: func(o *Options) {
		o.Via = map[incident.Via]func(incident.Target) (http.RoundTripper, error){incident.ViaProxy: func(incident.Target) (http.RoundTripper, error) {
			return roundTripper(func(*http.Request) (*http.Response, error) { return nil, movedError{} }), nil
		}}
	}, want: moved, requests: -1, words: "10.0.0.1 belongs to gift-api-7 by now"},
	{name: "a way that does not open", at: func(t *incident.Target) { t.Via = incident.ViaPortForward }, opt: func(o *Options) {
		o.Via = map[incident.Via]func(incident.Target) (http.RoundTripper, error){incident.ViaPortForward: func(incident.Target) (http.RoundTripper, error) {
			return nil, errors.New("pods/portforward is forbidden")
		}}
	}, want: away, retry: true, requests: -1, words: "no way to it by port-forward: pods/portforward is forbidden"},
	{name: "TLS settings that nobody knows", at: func(t *incident.Target) { t.TLS = "gone" }, want: away, requests: -1, words: `its TLS settings "gone" are not known`},
	{name: "an address in disguise", at: func(t *incident.Target) { t.URL = "http://[::ffff:10.0.0.1]:6060/debug/pprof" }, want: refused, requests: -1, words: "address ::ffff:10.0.0.1 is an IPv4 address in disguise: write it plainly"},
	{name: "no address", at: func(t *incident.Target) { t.URL = "file:///etc/passwd" }, want: away, requests: -1, words: "the configured address is no http or https address"},
	{name: "a kind that nobody knows", kind: "threads", want: failed, requests: -1, words: `no way to pull kind "threads" is known`},
	{name: "a service that rests", mode: pproftest.Hang, opt: func(o *Options) { o.Failures = 3 }, pulls: 3, requests: -1, want: resting, words: `3 pulls in a row failed, the last with "timeout: no complete answer within 15s"; next try after 00:02 UTC`},
	{name: "a service that is tried after its rest", mode: pproftest.Hang, opt: func(o *Options) { o.Failures = 1 }, pulls: 1, pause: time.Minute, want: timeout, took: 15 * time.Second, words: "no complete answer within 15s"},

	{name: "a short WriteTimeout", raw: refusing(4), kind: incident.KindCPU, window: 30 * time.Second, want: stored, took: 3 * time.Second, asked: 3 * time.Second},
	{name: "a WriteTimeout that nothing fits", raw: says("HTTP/1.1 400 Bad Request\r\n\r\nprofile duration exceeds server's WriteTimeout\n"), kind: incident.KindCPU, window: 4 * time.Second, want: failed, words: "profile duration exceeds server's WriteTimeout"},

	{name: "canceled while it waits for the jitter", opt: func(o *Options) {
		o.Jitter, o.Random = 10*time.Second, func(time.Duration) time.Duration { return 9 * time.Second }
	}, kind: incident.KindCPU, leave: time.Second, took: time.Second, requests: -1, want: canceld, words: "profbot is stopping"},
	{name: "canceled while the pod is confirmed", opt: confirming(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), leave: time.Second, took: time.Second, requests: -1, want: canceld, words: "profbot is stopping"},
	{name: "canceled while it is dialled", opt: func(o *Options) {
		o.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	}, kind: incident.KindCPU, leave: time.Second, took: time.Second, requests: -1, want: canceld, words: "profbot is stopping"},
	{name: "canceled while it shakes hands", at: func(t *incident.Target) { t.URL = "https://live-api.live.svc:6060/debug/pprof" }, raw: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, leave: time.Second, took: time.Second, want: canceld, words: "profbot is stopping"},
	{name: "canceled while it samples", mode: pproftest.Hang, kind: incident.KindCPU, window: 30 * time.Second, leave: 7 * time.Second, took: 7 * time.Second, asked: 7 * time.Second, want: canceld, words: "profbot is stopping"},
	{name: "canceled in the middle of the answer", mode: pproftest.Drip, leave: 3 * time.Second, took: 3 * time.Second, want: canceld, words: "profbot is stopping"},
	{name: "canceled while an error says its words", mode: pproftest.Mute, leave: time.Second, took: time.Second, want: canceld, words: "profbot is stopping"},
}

// refusing is an older Go's pprof whose server has a WriteTimeout of so many
// seconds.
func refusing(most int) func(net.Conn) {
	return func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		seconds, err := strconv.Atoi(r.URL.Query().Get("seconds"))
		if err != nil || seconds > most {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nX-Go-Pprof: 1\r\n\r\nprofile duration exceeds server's WriteTimeout\n")
			return
		}
		<-time.After(time.Duration(seconds) * time.Second)
		_, _ = io.WriteString(c, ok("", "\x0a\x02\x08\x01\x32\x00\x32\x03cpu"))
	}
}

func confirming(f func(context.Context) error) func(*Options) {
	return func(o *Options) {
		o.Confirm = func(ctx context.Context, t incident.Target) error {
			if t.Pod != pod.Pod {
				return errors.New("another pod is confirmed than asked")
			}
			return f(ctx)
		}
	}
}

type movedError struct{}

func (movedError) Error() string { return "moved" }
func (movedError) Outcome() (incident.Outcome, string) {
	return moved, "10.0.0.1 belongs to gift-api-7 by now"
}

func TestFaults(t *testing.T) {
	for group, faults := range map[string][]fault{"answers": answers, "bombs": bombs, "connections": connections, "rules": rules} {
		for _, f := range faults {
			t.Run(group+"/"+f.name, f.play)
		}
	}
}
