package pproftest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"
)

// Mode is how the target behaves.
type Mode string

// Modes of a target.
const (
	Real Mode = "" // the real handlers of this process

	Busy         Mode = "busy"          // the CPU profiler is taken, in net/http/pprof's words
	NoPprof      Mode = "no pprof"      // 404
	Page         Mode = "page"          // 200 with HTML, as a catch-all route answers
	JSON         Mode = "json"          // 200 with JSON, as an API gateway answers
	Text         Mode = "text"          // a profile for people, as with debug=1
	Redirect     Mode = "redirect"      // to /elsewhere at another host name, which is this server too
	Metadata     Mode = "metadata"      // a redirect to a cloud's metadata
	WriteTimeout Mode = "write timeout" // more than 4 seconds are refused, in an older Go's words
	Broken       Mode = "broken"        // 500 with control characters in its words
	BadGateway   Mode = "bad gateway"   // 502 of a proxy, with HTML
	Overloaded   Mode = "overloaded"    // 503 that asks to wait 30 seconds
	Late         Mode = "late"          // 504 of a proxy
	TooMany      Mode = "too many"      // 429 that asks to wait 7 seconds
	Forbidden    Mode = "forbidden"     // 403
	NoContent    Mode = "no content"    // 204
	Echo         Mode = "echo"          // 500 that repeats the caller's Authorization
	EchoEncoded  Mode = "echo encoded"  // 500 that repeats it decoded, and encoded in other ways

	Hang   Mode = "hang"   // nothing until the caller goes
	Mute   Mode = "mute"   // 500, and then no words until the caller goes
	Slow   Mode = "slow"   // the first half of a profile, then nothing until the caller goes
	Drip   Mode = "drip"   // a profile, one byte a second
	Cut    Mode = "cut"    // a profile that ends too soon
	Short  Mode = "short"  // a profile that is shorter than announced
	Reset  Mode = "reset"  // the connection breaks
	Empty  Mode = "empty"  // 200 and no body
	Raw    Mode = "raw"    // an uncompressed profile
	Idle   Mode = "idle"   // a CPU profile without samples, whatever is asked
	Heap   Mode = "heap"   // a heap profile, whatever is asked
	Twice  Mode = "twice"  // a profile compressed twice
	Joined Mode = "joined" // two profiles in one file
	Brotli Mode = "brotli" // says that it is encoded with br

	Bomb      Mode = "bomb"      // a valid profile of 16 MiB in 16 KiB
	BigBomb   Mode = "big bomb"  // one of 256 MiB in 256 KiB
	Samples   Mode = "samples"   // a profile of 2 million samples of two bytes each
	Locations Mode = "locations" // likewise of locations
	Strings   Mode = "strings"   // likewise of strings
	Frames    Mode = "frames"    // a sample with 20 million frames
	Overflow  Mode = "overflow"  // a number of more than 64 bits
	Endless   Mode = "endless"   // a profile that does not end until the caller goes
	Promise   Mode = "promise"   // announces 1 TiB
)

// texts are answers that are the same for every request.
var texts = map[Mode]struct {
	status int
	header []string // name and value
	body   string
}{
	Busy:       {500, []string{"X-Go-Pprof", "1"}, "Could not enable CPU profiling: cpu profiling already in use\n"},
	NoPprof:    {404, nil, "404 page not found\n"},
	Page:       {200, nil, "<!doctype html><title>Welcome</title>\n"},
	JSON:       {200, []string{"Content-Type", "application/json"}, `{"code":0,"message":"ok"}`},
	Text:       {200, nil, "goroutine profile: total 3\n1 @ 0x43e0ce 0x44f4a5\n"},
	Metadata:   {307, []string{"Location", "http://169.254.169.254/latest/meta-data/iam/security-credentials/?token=t0k3n"}, ""},
	Broken:     {500, nil, "it \x1b[31mbroke\x1b[0m\n<!channel> " + strings.Repeat("x", 500)},
	BadGateway: {502, []string{"Content-Type", "text/html"}, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n"},
	Overloaded: {503, []string{"Retry-After", "30"}, "no healthy upstream"},
	Late:       {504, nil, "upstream request timeout"},
	TooMany:    {429, []string{"Retry-After", "7"}, "slow down\n"},
	Forbidden:  {403, nil, "RBAC: access denied"},
	NoContent:  {204, nil, ""},
	Empty:      {200, nil, ""},
}

func answer(w http.ResponseWriter, r *http.Request, mode Mode, real http.Handler) {
	if t, ok := texts[mode]; ok {
		for i := 0; i+1 < len(t.header); i += 2 {
			w.Header().Set(t.header[i], t.header[i+1])
		}
		w.WriteHeader(t.status)
		_, _ = w.Write([]byte(t.body)) // a caller that went away is its business, here and below
		return
	}
	if made := bodies[mode]; made != nil {
		_, _ = w.Write(made())
		return
	}
	switch mode {
	case Redirect:
		if r.URL.Path == "/elsewhere" {
			http.NotFound(w, r)
			return
		}
		_, port, _ := net.SplitHostPort(r.Host)
		http.Redirect(w, r, "http://localhost:"+port+"/elsewhere", http.StatusFound)
	case WriteTimeout:
		var seconds int
		if _, err := fmt.Sscanf(r.URL.Query().Get("seconds"), "%d", &seconds); err == nil && seconds > 4 {
			http.Error(w, "profile duration exceeds server's WriteTimeout", http.StatusBadRequest)
			return
		}
		real.ServeHTTP(w, short(r))
	case Echo:
		http.Error(w, "not for "+r.Header.Get("Authorization"), http.StatusInternalServerError)
	case EchoEncoded:
		http.Error(w, "not for "+encodings(r.Header.Get("Authorization")), http.StatusInternalServerError)
	case Hang:
		<-r.Context().Done() // the caller's time limit ends this
	case Mute:
		w.WriteHeader(http.StatusInternalServerError)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case Slow:
		_, _ = w.Write(half(r, real))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case Drip:
		drip(w, r, whole(r, real))
	case Endless:
		endless(w, r)
	case Promise:
		w.Header().Set("Content-Length", fmt.Sprint(1<<40))
		_, _ = w.Write(half(r, real))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case Cut:
		_, _ = w.Write(half(r, real))
	case Short:
		w.Header().Set("Content-Length", fmt.Sprint(len(whole(r, real))+100))
		_, _ = w.Write(half(r, real))
	case Reset:
		panic(http.ErrAbortHandler)
	case Raw:
		_, _ = w.Write(unpack(whole(r, real)))
	case Heap:
		_, _ = w.Write(whole(httptest.NewRequestWithContext(r.Context(), http.MethodGet, "/debug/pprof/heap", nil), real))
	case Twice:
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(pack(whole(r, real)))
	case Joined:
		_, _ = w.Write(bytes.Repeat(whole(r, real), 2))
	case Brotli:
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write(half(r, real))
	default:
		real.ServeHTTP(w, r)
	}
}

// drip writes one byte a second until there is none left or the caller goes.
func drip(w http.ResponseWriter, r *http.Request, b []byte) {
	for i := range b {
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
		_, _ = w.Write(b[i : i+1])
		_ = http.NewResponseController(w).Flush()
	}
}

// endless writes a compressed profile of ever more noise.
func endless(w http.ResponseWriter, r *http.Request) {
	zw, _ := gzip.NewWriterLevel(w, gzip.NoCompression)
	_, _ = zw.Write(head)
	comment := append([]byte{0x6a, 0x80, 0x80, 0x01}, make([]byte, 16<<10)...) // field 13 of 16 KiB
	for r.Context().Err() == nil {
		if _, err := zw.Write(comment); err != nil {
			return
		}
	}
}

// encodings writes a header in the ways in which it may turn up in an error.
func encodings(authorization string) string {
	_, credentials, _ := strings.Cut(authorization, " ")
	decoded, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		decoded = []byte(credentials)
	}
	_, password, _ := strings.Cut(string(decoded), ":")
	return strings.Join([]string{
		string(decoded), password, url.QueryEscape(password), strings.ReplaceAll(url.QueryEscape(credentials), "%3D", "%3d"),
		base64.URLEncoding.EncodeToString(decoded), fmt.Sprintf("%q", authorization), fmt.Sprintf("%x", password),
	}, " | ")
}

// whole is a real profile that is quickly made.
func whole(r *http.Request, real http.Handler) []byte {
	rec := httptest.NewRecorder()
	real.ServeHTTP(rec, short(r))
	return rec.Body.Bytes()
}

// half is the first half of one.
func half(r *http.Request, real http.Handler) []byte {
	b := whole(r, real)
	return b[:len(b)/2]
}

// short asks the real handlers for a profile that is quickly made.
func short(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	if r.URL.Query().Has("seconds") {
		r.URL.RawQuery = "seconds=1"
	}
	return r
}
