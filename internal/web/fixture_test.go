package web_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/web"
)

const cpuBlob = "pod-0.cpu.pb.gz"

var (
	start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	key   = []byte("0123456789abcdef0123456789abcdef")
)

// site is a Handler on a real store, with a clock that tests move.
type site struct {
	*web.Handler
	st  *store.Store
	dir string
	now time.Time
	h   http.Handler
	// asked are the verifications asked for, "INCIDENT for WHO".
	asked []string
}

func newSite(t testing.TB, change ...func(*web.Options)) *site {
	t.Helper()
	s := &site{now: start, dir: t.TempDir()}
	clock := func() time.Time { return s.now }
	var err error
	if s.st, err = store.Open(context.Background(), store.Options{Dir: s.dir, Now: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.st.Close(); err != nil {
			t.Error(err)
		}
	})
	opt := web.Options{Store: s.st, Alerts: s.alerts, Verify: s.verify, Key: key, URL: "http://reports.test/", Now: clock}
	for _, c := range change {
		c(&opt)
	}
	if s.Handler, err = web.New(opt); err != nil {
		t.Fatal(err)
	}
	s.h = s.Internal()
	return s
}

func (s *site) alerts(ctx context.Context, limit int) ([]web.Received, error) {
	rows, err := s.st.Alerts(ctx, limit)
	out := make([]web.Received, len(rows))
	for i, r := range rows {
		out[i] = web.Received(r)
	}
	return out, err
}

// verify takes every wish, the second one of an incident as a repetition.
func (s *site) verify(_ context.Context, id, by string) (incident.Receipt, error) {
	s.asked = append(s.asked, id+" for "+by)
	if strings.HasPrefix(by, "nothing") {
		return incident.Receipt{Action: incident.ActionRecord, Reason: "there is nothing to verify"}, nil
	}
	return incident.Receipt{Action: incident.ActionCapture, Incident: "v1", Reason: "asked"}, nil
}

func enqueue(context.Context, *sql.Tx, incident.Unit) error { return nil }

// accept opens an incident for a.
func (s *site) accept(t testing.TB, a incident.Alert) string {
	t.Helper()
	a.Source, a.Transition = "datadog", incident.TransitionTriggered
	action, reason := incident.Decide(a)
	rec, err := s.st.Accept(t.Context(), a, action, reason, time.Minute, enqueue)
	if err != nil || rec.Incident == "" {
		t.Fatalf("Accept = %+v, %v", rec, err)
	}
	return rec.Incident
}

// finish gives an incident a stored profile, its drawings and a report.
func (s *site) finish(t testing.TB, id string, rep *analysis.Report, captures ...incident.Capture) {
	t.Helper()
	ctx := t.Context()
	if len(captures) == 0 {
		captures = []incident.Capture{
			{Incident: id, Pod: "pod-0", Kind: incident.KindCPU, Role: incident.RoleHot, Status: incident.CaptureStored, Blob: cpuBlob, Bytes: 3},
			{Incident: id, Pod: "pod-0", Kind: incident.KindGoroutine, Role: incident.RoleHot, Status: incident.CaptureFailed, Outcome: incident.OutcomeTimeout},
		}
	}
	if err := s.st.Plan(ctx, id, incident.Choice{Says: "chose pod-0"}, captures, enqueue); err != nil {
		t.Fatal(err)
	}
	for _, c := range captures {
		if c.Blob != "" {
			s.put(t, id, c.Blob, "cpu")
		}
	}
	s.put(t, id, "flame.png", "\x89PNG")
	s.put(t, id, "flame.html", "<!doctype html><title>flame</title>")
	if err := s.st.Finish(ctx, id, rep, ""); err != nil {
		t.Fatal(err)
	}
}

func (s *site) put(t testing.TB, id, name, data string) {
	t.Helper()
	if err := s.st.PutBlob(id, name, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// done opens and finishes an incident of a service.
func (s *site) done(t testing.TB, service string) string {
	t.Helper()
	id := s.accept(t, incident.Alert{ID: service, Key: incident.Key{Service: service, Monitor: "1"}, Title: "CPU of " + service})
	s.finish(t, id, &analysis.Report{Version: analysis.ReportVersion, Service: service, Samples: 379})
	return id
}

// path is the path of an incident's link, with its slash at the end.
func (s *site) path(id string) string {
	report, _ := s.Link(id)
	return strings.TrimPrefix(report, "http://reports.test")
}

func (s *site) do(t testing.TB, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func (s *site) get(t testing.TB, path string) *httptest.ResponseRecorder {
	t.Helper()
	return s.do(t, http.MethodGet, path)
}
