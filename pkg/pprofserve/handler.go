package pprofserve

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// writeTime is how long a client may take to read an answer, beyond the time
// for which it asked to be profiled.
const writeTime = time.Minute

// Handler serves what [Start] does, for services that have a private mux
// already: mount it at "/debug/pprof/". Options.Addr has no meaning.
func Handler(opt Options) (http.Handler, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	return newHandler(opt, nil), nil
}

// handler answers requests that the guard lets through.
type handler struct {
	opt      Options
	stopping <-chan struct{} // closed when profiles under way shall end; nil: never
}

func newHandler(opt Options, stopping <-chan struct{}) http.Handler {
	h := &handler{opt: opt, stopping: stopping}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", about)
	mux.HandleFunc("GET /debug/pprof/{$}", index)
	mux.HandleFunc("GET /debug/pprof/{name...}", h.named)
	mux.HandleFunc("GET /debug/pprof/cmdline", cmdline)
	mux.HandleFunc("GET /debug/pprof/symbol", symbol)
	mux.HandleFunc("GET /debug/pprof/profile", h.profile)
	mux.HandleFunc("GET /debug/pprof/trace", h.trace)
	return newGuard(opt, mux)
}

// about says what this port is, to those who find it.
func about(w http.ResponseWriter, _ *http.Request) {
	header(w, "text/plain; charset=utf-8", "")
	fmt.Fprintf(w, "pprofserve: profiles of %s under /debug/pprof/\n", program())
}

// program is the name of the executable, without its folder.
func program() string {
	name := os.Args[0]
	return name[strings.LastIndexAny(name, `/\`)+1:]
}

// header sets what all good answers have. file is the name under which a
// browser saves the answer; empty for what it shows.
func header(w http.ResponseWriter, contentType, file string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", contentType)
	if file != "" {
		w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s"`, file))
	}
}

// serveError answers as net/http/pprof does: the header tells a tool that the
// text is from a Go program and worth showing.
func serveError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Go-Pprof", "1")
	w.Header().Del("Content-Disposition")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// bounded gives an answer that takes d a deadline beyond any WriteTimeout of
// the server; waiting is what it may take before it begins. It answers itself, and
// returns false, when d is too long.
func (h *handler) bounded(w http.ResponseWriter, d, waiting time.Duration) bool {
	if d > h.opt.MaxDuration {
		serveError(w, http.StatusBadRequest, fmt.Sprintf(`invalid value for "seconds" - at most %g here`, h.opt.MaxDuration.Seconds()))
		return false
	}
	// An error is of a writer that cannot, as those of tests.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(waiting + d + writeTime))
	return true
}

// seconds is a parameter as a duration, kept within what a duration can hold.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 1e9) * float64(time.Second))
}

// profile serves the CPU profile of the next seconds; 30 unless it is told.
func (h *handler) profile(w http.ResponseWriter, r *http.Request) {
	sec, err := strconv.ParseInt(r.FormValue("seconds"), 10, 64)
	if err != nil || sec <= 0 {
		sec = 30
	}
	d := seconds(float64(sec))
	var patience time.Duration
	if h.opt.Busy == Wait {
		patience = h.opt.WaitLimit
	}
	if !h.bounded(w, d, patience) {
		return
	}
	if h.opt.CPU != nil {
		h.opt.CPU.ServeHTTP(w, r)
		return
	}
	profile, err := cpu.record(r.Context(), h.stopping, d, h.opt.Busy, patience)
	if err != nil {
		serveError(w, http.StatusInternalServerError, fmt.Sprintf("Could not enable CPU profiling: %s", err))
		return
	}
	header(w, "application/octet-stream", "profile")
	w.Write(profile)
}

// trace serves the execution trace of the next seconds; 1 unless it is told.
func (h *handler) trace(w http.ResponseWriter, r *http.Request) {
	sec, err := strconv.ParseFloat(r.FormValue("seconds"), 64)
	if err != nil || !(sec > 0) { // NaN is no number of seconds either
		sec = 1
	}
	if !h.bounded(w, seconds(sec), 0) {
		return
	}
	header(w, "application/octet-stream", "trace")
	if err := trace.Start(w); err != nil { // nothing is written yet
		serveError(w, http.StatusInternalServerError, fmt.Sprintf("Could not enable tracing: %s", err))
		return
	}
	defer trace.Stop()
	_ = h.sleep(r.Context(), seconds(sec)) // what there is by then is a trace
}

// sleep waits for d, less when the server stops. It returns the cause when ctx
// ends first.
func (h *handler) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.stopping:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// named serves any other profile, those of the program's own among them.
func (h *handler) named(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	p := pprof.Lookup(name)
	if p == nil {
		serveError(w, http.StatusNotFound, "Unknown profile")
		return
	}
	if sec := r.FormValue("seconds"); sec != "" {
		h.delta(w, r, p, sec)
		return
	}
	h.bounded(w, 0, 0)
	if gc, _ := strconv.Atoi(r.FormValue("gc")); name == "heap" && gc > 0 {
		runtime.GC()
	}
	debug, _ := strconv.Atoi(r.FormValue("debug"))
	if debug != 0 {
		header(w, "text/plain; charset=utf-8", "")
	} else {
		header(w, "application/octet-stream", name)
	}
	_ = p.WriteTo(w, debug) // of a client that went away
}

// counts are the profiles of which the difference of two snapshots says
// something: those of the runtime.
var counts = map[string]bool{
	"allocs": true, "block": true, "goroutine": true, "goroutineleak": true, "heap": true, "mutex": true, "threadcreate": true,
}

// delta serves what was added to a profile within some seconds.
func (h *handler) delta(w http.ResponseWriter, r *http.Request, p *pprof.Profile, text string) {
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sec <= 0 {
		serveError(w, http.StatusBadRequest, `invalid value for "seconds" - must be a positive integer`)
		return
	}
	if !counts[p.Name()] {
		serveError(w, http.StatusBadRequest, `"seconds" parameter is not supported for this profile type`)
		return
	}
	if debug, _ := strconv.Atoi(r.FormValue("debug")); debug != 0 {
		serveError(w, http.StatusBadRequest, "seconds and debug params are incompatible")
		return
	}
	d := seconds(float64(sec))
	if !h.bounded(w, d, 0) {
		return
	}
	var before, after bytes.Buffer
	err = p.WriteTo(&before, 0)
	start := time.Now()
	if err == nil {
		if err = h.sleep(r.Context(), d); err != nil {
			return // nobody is there to be answered
		}
		err = p.WriteTo(&after, 0)
	}
	end := time.Now()
	var profile []byte
	if err == nil {
		profile, err = delta(before.Bytes(), after.Bytes(), end.UnixNano(), end.Sub(start).Nanoseconds())
	}
	if err != nil {
		serveError(w, http.StatusInternalServerError, "failed to compute delta")
		return
	}
	header(w, "application/octet-stream", p.Name()+"-delta")
	w.Write(profile)
}

// cmdline serves the command line, its arguments separated by NUL bytes.
func cmdline(w http.ResponseWriter, _ *http.Request) {
	header(w, "text/plain; charset=utf-8", "")
	fmt.Fprint(w, strings.Join(os.Args, "\x00"))
}

// symbol names the functions at the program counters of the query, which are
// separated by +, for tools older than profiles with symbols.
func symbol(w http.ResponseWriter, r *http.Request) {
	header(w, "text/plain; charset=utf-8", "")
	var b bytes.Buffer
	b.WriteString("num_symbols: 1\n") // not their number: that there are any
	for word := range strings.SplitSeq(r.URL.RawQuery, "+") {
		pc, _ := strconv.ParseUint(word, 0, 64)
		if f := runtime.FuncForPC(uintptr(pc)); pc != 0 && f != nil {
			fmt.Fprintf(&b, "%#x %s\n", pc, f.Name())
		}
	}
	w.Write(b.Bytes())
}

// href is a link to a profile from the index.
func href(name string) string {
	return (&url.URL{Path: "./" + name, RawQuery: "debug=1"}).String()
}
