// Package labeltest is a conformance suite for middleware that labels: what
// the Label of every framework must do, and the looks at goroutines that it
// takes. It is for tests:
//
//	labeltest.TestHandler(t, router)
//	labeltest.Check(t, router, "GET", "/files/a/b.txt", 200, "GET /files/*")
//
// Labels are those of the whole process, so tests that use it run one after
// the other. The package needs the standard library alone.
package labeltest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// None stands for the endpoint where there is no label.
const None = "none"

// TestHandler tests a handler that labels its requests. It has the routes
// "GET /", "GET /live/list", "GET /users/" with a parameter, and "/any" for
// every method; these, and what answers 404 and 405, write what [Seen] returns.
// "GET /panic" panics, and something around the label makes 500 of it;
// "GET /stream" writes what Seen returns three times, a line each, and flushes.
// How the framework writes parameters and groups is the caller's to [Check].
func TestHandler(t testing.TB, h http.Handler) {
	t.Helper()
	Check(t, h, "GET", "/", 200, "GET /")
	Check(t, h, "GET", "/live/list?room=1", 200, "GET /live/list")
	Check(t, h, "DELETE", "/any", 200, "DELETE /any")
	Check(t, h, "GET", "/nowhere", 404, None)
	Check(t, h, "POST", "/live/list", 405, None)
	Check(t, h, "MADEUP", "/users/1", 405, None)
	if code, _ := Ask(t, h, "GET", "/panic"); code != 500 {
		t.Errorf("GET /panic: %d, want 500", code)
	}
	stream(t, h)
}

// Check compares what [Ask] returns with the code and the body that are wanted.
func Check(t testing.TB, h http.Handler, method, path string, code int, want string) {
	t.Helper()
	if got, body := Ask(t, h, method, path); got != code || body != want {
		t.Errorf("%s %s: %d %q, want %d %q", method, path, got, body, code, want)
	}
}

// stream asks through a server, whose writers can do more than a recorder.
func stream(t testing.TB, h http.Handler) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != strings.Repeat("GET /stream\n", 3) {
		t.Errorf("GET /stream: %q, %v", b, err)
	}
	Gone(t)
}

// Ask sends a request to a handler, and looks for labels that were left behind:
// on the goroutine that called it, as a server's goes on to the next request,
// on those that it started, and in the request. They would spoil what comes
// after, so they end the test. It returns the answer's body without space
// around it.
func Ask(t testing.TB, h http.Handler, method, path string) (code int, body string) {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	served, looked := make(chan struct{}), make(chan struct{})
	defer close(looked)
	go func() { // ended by looked
		defer func() { close(served); <-looked }()
		h.ServeHTTP(w, r)
	}()
	<-served
	if e := Endpoint(r.Context()); e != None {
		t.Errorf("%s %s: the outer request has the label %q", method, path, e)
	}
	if n := left(); len(n) != 0 {
		t.Fatalf("%s %s left labels behind, on so many goroutines: %v", method, path, n)
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

// Seen is what a handler finds: the endpoint in its context, or [None]. It
// checks that its goroutine and one that it starts have the same as their label.
func Seen(ctx context.Context, t testing.TB) string {
	t.Helper()
	endpoint := Endpoint(ctx)
	if endpoint == None {
		Gone(t)
		return None
	}
	// Those that an earlier request started may take a moment to end.
	comes(func() bool { return Goroutines()[endpoint] <= 1 })
	up, hold := make(chan struct{}), make(chan struct{})
	go func() { close(up); <-hold }() // ended below
	<-up
	if n := Goroutines()[endpoint]; n != 2 {
		t.Errorf("%d goroutines have the label %q, want the handler's and its own", n, endpoint)
	}
	close(hold)
	return endpoint
}

// Endpoint is the endpoint that a context has as its label, or [None].
func Endpoint(ctx context.Context) string {
	if e, ok := pprof.Label(ctx, pprofserve.LabelKey); ok {
		return e
	}
	return None
}

// Gone waits until no goroutine has an endpoint's label any more. It may be
// called in a handler.
func Gone(t testing.TB) {
	t.Helper()
	if n := left(); len(n) != 0 {
		t.Errorf("goroutines that should have no label: %v", n)
	}
}

// left are the labels that do not go, whatever time they have.
func left() (n map[string]int) {
	comes(func() bool { n = Goroutines(); return len(n) == 0 })
	return n
}

var label = regexp.MustCompile(fmt.Sprintf(`(?m)^# labels: .*%q:("(?:[^"\\]|\\.)*")`, pprofserve.LabelKey))

// Goroutines counts the goroutines that have the label of an endpoint, as the
// goroutine profile tells.
func Goroutines() map[string]int {
	var b strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a Builder takes all
	_, stacks, _ := strings.Cut(b.String(), "\n")
	n := map[string]int{}
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		m := label.FindStringSubmatch(stack)
		if m == nil {
			continue
		}
		count, _, _ := strings.Cut(stack, " ")
		alike, err := strconv.Atoi(count)
		endpoint, err2 := strconv.Unquote(m[1])
		if err != nil || err2 != nil {
			panic("labeltest: the goroutine profile has another format: " + stack)
		}
		n[endpoint] += alike
	}
	return n
}

// Until waits for a condition of other goroutines, which it asks for again and
// again, and ends the test where it does not come.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !comes(ok) {
		t.Fatalf("never: %s", what)
	}
}

// comes waits for what Until does, and tells whether it came. It looks less
// often the longer it takes.
func comes(ok func() bool) bool {
	limit, pause := time.After(20*time.Second), time.Millisecond
	for !ok() {
		select {
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		case <-limit:
			return false
		}
	}
	return true
}
