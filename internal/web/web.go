// Package web serves what a Slack message links to: an incident's report, its
// flame graph, its raw profiles; and, for the people who run profbot, the list
// of incidents and of alerts with what became of each, what people asked for,
// and health.
//
// There are two doors. [Handler.Internal] is for a listener that only trusted
// people reach. Below it, /r/TOKEN/ serves one incident to whoever holds a
// link made by [Handler.Link]: the token names the incident, carries an expiry
// and is signed, so that a proxy may publish /r/ and nothing else.
package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

//go:embed pages/*.html
var pages embed.FS

// Received is one accepted alert with what became of it.
type Received struct {
	Alert   incident.Alert
	Receipt incident.Receipt
	At      time.Time
}

// Store is what the pages read.
type Store interface {
	Incident(ctx context.Context, id string) (incident.Incident, int64, error)
	Incidents(ctx context.Context, limit int) ([]incident.Incident, error)
	Captures(ctx context.Context, id string) ([]incident.Capture, error)
	Report(ctx context.Context, id string) (*analysis.Report, error)
	Untold(ctx context.Context) (map[string]bool, error)
	Effect(ctx context.Context, id, step string) (incident.Effect, error)
	Deeds(ctx context.Context, limit int) ([]incident.Deed, error)
	Blob(id, name string) ([]byte, error)
	Ping(ctx context.Context) error
}

// Options configure a [Handler].
type Options struct {
	Store Store // required
	// Alerts lists the most recent alerts, newest first. Required.
	Alerts func(ctx context.Context, limit int) ([]Received, error)
	// Verify profiles an incident's service again, to prove its fix. Required.
	Verify func(ctx context.Context, id, by string) (incident.Receipt, error)
	// Key signs links; at least 32 bytes. Required.
	Key []byte
	// Metrics serves profbot's own metrics; nil means that there are none.
	Metrics http.Handler
	// URL is where people reach this handler, without a trailing slash; ""
	// means that no links are made.
	URL string
	// LinkLife is how long a link works; 0 means 30 days.
	LinkLife time.Duration
	Logger   *slog.Logger     // nil discards
	Now      func() time.Time // nil means time.Now
}

// Handler serves the pages. It is safe for concurrent use.
type Handler struct {
	Options
	templates *template.Template
}

// New checks the options and parses the pages.
func New(opt Options) (*Handler, error) {
	if opt.Store == nil || opt.Alerts == nil || opt.Verify == nil {
		return nil, errors.New("new web handler: Store, Alerts and Verify are required")
	}
	if len(opt.Key) < 32 {
		return nil, fmt.Errorf("new web handler: the link key has %d bytes, want at least 32", len(opt.Key))
	}
	if opt.LinkLife == 0 {
		opt.LinkLife = 30 * 24 * time.Hour
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.URL = strings.TrimSuffix(opt.URL, "/")
	h := &Handler{Options: opt}
	var err error
	h.templates, err = template.New("").Funcs(template.FuncMap{
		"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"percent": func(f float64) string { return fmt.Sprintf("%.1f %%", 100*f) },
		"path":    url.PathEscape,
		"snippet": analysis.Snippet,
	}).ParseFS(pages, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	return h, nil
}

// Link returns the addresses of an incident's report and flame graph, or empty
// strings when no URL is configured.
func (h *Handler) Link(id string) (report, flame string) {
	if h.URL == "" {
		return "", ""
	}
	base := h.URL + "/r/" + h.token(id, h.Now().Add(h.LinkLife)) + "/"
	return base, base + "flame.html"
}

// token is base64(expiry, incident, HMAC of both).
func (h *Handler) token(id string, expires time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	b = append(b, id...)
	return base64.RawURLEncoding.EncodeToString(append(b, h.sign(b)...))
}

func (h *Handler) sign(b []byte) []byte {
	mac := hmac.New(sha256.New, h.Key)
	mac.Write([]byte("profbot link v1\x00")) // the key may sign other things one day
	mac.Write(b)
	return mac.Sum(nil)
}

// open returns the incident of a token, or what is wrong with it.
func (h *Handler) open(token string) (id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 8+sha256.Size {
		return "", &pageError{http.StatusNotFound, "this is not a link that profbot made"}
	}
	body, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, h.sign(body)) {
		return "", &pageError{http.StatusNotFound, "this is not a link that profbot made, or its key has changed"}
	}
	if expires := time.Unix(int64(binary.BigEndian.Uint64(body)), 0); !h.Now().Before(expires) {
		return "", &pageError{http.StatusGone, "this link has expired; the thread's incident is still listed on the internal page while it is kept"}
	}
	return string(body[8:]), nil
}

// Internal is the handler of the internal listener: everything.
func (h *Handler) Internal() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page(h.index))
	mux.HandleFunc("GET /r/{token}/{$}", h.page(h.report))
	mux.HandleFunc("GET /r/{token}/{file}", h.page(h.file))
	// From the index page's button, or from a deployment's script; not from
	// another site's page.
	mux.Handle("POST /api/incidents/{id}/verify", http.NewCrossOriginProtection().Handler(h.page(h.verify)))
	mux.HandleFunc("GET /api/deeds", h.page(h.deeds))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.page(func(w http.ResponseWriter, r *http.Request) error {
		if err := h.Store.Ping(r.Context()); err != nil {
			h.Logger.ErrorContext(r.Context(), "not ready", "error", err)
			return &pageError{http.StatusServiceUnavailable, "the database does not answer"}
		}
		fmt.Fprintln(w, "ok")
		return nil
	}))
	if h.Metrics != nil {
		mux.Handle("GET /metrics", h.Metrics)
	}
	// profbot's own profiles, on the listener that only trusted people reach.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// pageError is an error whose text is for the reader of the page.
type pageError struct {
	code int
	text string
}

func (e *pageError) Error() string { return e.text }

// page turns a handler that returns an error into one that answers with it:
// the one place that does.
func (h *Handler) page(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		// The address holds the right to read, so no other site may learn it;
		// the pages hold names from profiles, so nothing but our own style runs.
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "private, no-store")
		head.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		err := f(w, r)
		if err == nil {
			return
		}
		e, ok := errors.AsType[*pageError](err)
		switch {
		case ok:
		case errors.Is(err, incident.ErrNotFound):
			e = &pageError{http.StatusNotFound, "this is not stored, or no longer"}
		default:
			h.Logger.ErrorContext(r.Context(), "page", "pattern", r.Pattern, "error", err)
			e = &pageError{http.StatusInternalServerError, "profbot could not make this page; its log says why"}
		}
		http.Error(w, e.text, e.code)
	}
}

func (h *Handler) render(w http.ResponseWriter, name string, data any) error {
	var b strings.Builder
	if err := h.templates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := w.Write([]byte(b.String()))
	if err != nil {
		h.Logger.Debug("page not read to its end", "error", err)
	}
	return nil
}

func (h *Handler) index(w http.ResponseWriter, r *http.Request) error {
	incidents, err := h.Store.Incidents(r.Context(), 50)
	if err != nil {
		return err
	}
	alerts, err := h.Alerts(r.Context(), 100)
	if err != nil {
		return err
	}
	deeds, err := h.Store.Deeds(r.Context(), 100)
	if err != nil {
		return err
	}
	untold, err := h.Store.Untold(r.Context())
	if err != nil {
		return err
	}
	type row struct {
		incident.Incident
		Link     string
		Headline string // of the report; "" while there is none
		Flagged  bool   // there is a fix that could be verified
		Untold   bool   // the thread does not say all of this yet
	}
	rows := make([]row, len(incidents))
	for i, inc := range incidents {
		rows[i] = row{Incident: inc, Link: "r/" + h.token(inc.ID, h.Now().Add(h.LinkLife)) + "/", Untold: untold[inc.ID] && inc.Status.Final()}
		rep, err := h.Store.Report(r.Context(), inc.ID)
		if errors.Is(err, incident.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		rows[i].Headline, rows[i].Flagged = rep.Headline(), len(rep.Flagged()) > 0
	}
	return h.render(w, "index.html", map[string]any{"Incidents": rows, "Alerts": alerts, "Deeds": deeds})
}

// deeds serves the audit log as JSON, newest first: all of it, as far as it is
// kept.
func (h *Handler) deeds(w http.ResponseWriter, r *http.Request) error {
	list, err := h.Store.Deeds(r.Context(), -1)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return writeJSON(w, list)
}

func (h *Handler) report(w http.ResponseWriter, r *http.Request) error {
	id, err := h.open(r.PathValue("token"))
	if err != nil {
		return err
	}
	inc, _, err := h.Store.Incident(r.Context(), id)
	if err != nil {
		return err
	}
	captures, err := h.Store.Captures(r.Context(), id)
	if err != nil {
		return err
	}
	rep, err := h.Store.Report(r.Context(), id)
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return err
	}
	event, err := h.Store.Effect(r.Context(), id, eventStep)
	if err != nil {
		return err
	}
	asked, pods := incident.Cost(captures)
	return h.render(w, "report.html", map[string]any{
		"Incident": inc, "Captures": captures, "Report": rep, "Event": event, "Asked": asked.Seconds(), "AskedPods": pods,
	})
}

// eventStep is the step whose effect says what became of the event on the
// monitor's timeline.
const eventStep = "event"

// file serves one of an incident's files. Only names that the incident's own
// rows give are ever read.
func (h *Handler) file(w http.ResponseWriter, r *http.Request) error {
	id, err := h.open(r.PathValue("token"))
	if err != nil {
		return err
	}
	name := r.PathValue("file")
	// Set once the bytes are there: an answer that is an error is a page like
	// any other.
	head := map[string]string{}
	switch name {
	case "flame.png":
		head["Content-Type"] = "image/png"
	case "flame.html":
		head["Content-Type"] = "text/html; charset=utf-8"
		// The flame graph is one file with its own script and style.
		head["Content-Security-Policy"] = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
	case "report.json":
		rep, err := h.Store.Report(r.Context(), id)
		if err != nil {
			return err
		}
		return writeJSON(w, rep)
	default:
		captures, err := h.Store.Captures(r.Context(), id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(captures, func(c incident.Capture) bool { return c.Blob != "" && c.Blob == name }) {
			return incident.ErrNotFound
		}
		head["Content-Type"] = "application/octet-stream"
		head["Content-Disposition"] = "attachment"
	}
	data, err := h.Store.Blob(id, name)
	if err != nil {
		return err
	}
	for k, v := range head {
		w.Header().Set(k, v)
	}
	if _, err := w.Write(data); err != nil {
		h.Logger.DebugContext(r.Context(), "file not read to its end", "error", err)
	}
	return nil
}
