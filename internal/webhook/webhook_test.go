package webhook_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/webhook"
)

const token = "0123456789abcdef-token"

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// keeper accepts into a real store and remembers the last alert.
type keeper struct {
	st   *store.Store
	last incident.Alert
	fail error
}

func (k *keeper) Accept(ctx context.Context, a incident.Alert) (incident.Receipt, error) {
	k.last = a
	if k.fail != nil {
		return incident.Receipt{}, k.fail
	}
	action, reason := incident.Decide(a)
	return k.st.Accept(ctx, a, action, reason, 30*time.Minute, func(context.Context, *sql.Tx, incident.Unit) error { return nil })
}

func start(t testing.TB, log io.Writer) (*keeper, string) {
	t.Helper()
	st, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{st: st}
	h, err := webhook.NewHandler(webhook.Options{
		Accepter: k, Tokens: []string{token, "second-token-of-two"}, Basic: []webhook.Credential{{User: "datadog", Password: "basic-password-1"}},
		Logger: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return k, srv.URL
}

func send(t testing.TB, req *http.Request) (int, map[string]any) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil || bytes.Count(body, []byte("\n")) != 1 {
		t.Fatalf("the answer is not one line of JSON: %q", body)
	}
	return resp.StatusCode, m
}

func post(t testing.TB, address string, body []byte, header map[string]string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	for k, v := range header {
		if v == "" {
			req.Header.Del(k)
			continue
		}
		req.Header.Set(k, v)
	}
	return send(t, req)
}

type sample struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Expect  struct {
		Action    string `json:"action"`
		Monitor   string `json:"monitor"`
		Service   string `json:"service"`
		Namespace string `json:"namespace"`
		Pod       string `json:"pod"`
		Note      string `json:"note"`
	} `json:"expect"`
}

func samples(t testing.TB) map[string]sample {
	t.Helper()
	files, err := filepath.Glob("testdata/datadog/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	out := map[string]sample{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var s sample
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = s
	}
	return out
}

// TestSamples sends captured requests over HTTP and holds the decision to each
// sample's expectation.
func TestSamples(t *testing.T) {
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			k, address := start(t, io.Discard)
			status, answer := post(t, address, []byte(s.Body), s.Headers)
			if s.Expect.Action == "400" {
				if text, _ := answer["error"].(string); status != http.StatusBadRequest || text == "" {
					t.Errorf("status %d, %v", status, answer)
				}
				return
			}
			action := map[string]string{"profile": "capture", "test": "record", "ignore": "record", "resolve": "resolve"}[s.Expect.Action]
			if action == "" {
				t.Fatalf("the expectation %q is not known", s.Expect.Action)
			}
			if action == "resolve" {
				// Nothing is open in an empty store: it is told so and recorded.
				if _, again := post(t, address, []byte(s.Body), s.Headers); again["repeated"] != true {
					t.Errorf("second delivery: %v", again)
				}
			}
			reason, _ := answer["reason"].(string)
			if status < 200 || status > 299 || answer["action"] != action && action != "resolve" || reason == "" {
				t.Errorf("status %d, %v, want action %s with a reason", status, answer, action)
			}
			a := k.last
			if act, _ := incident.Decide(a); string(act) != action {
				t.Errorf("decided %s, want %s", act, action)
			}
			if a.Test != (s.Expect.Action == "test") {
				t.Errorf("test %v", a.Test)
			}
			for what, pair := range map[string][2]string{
				"monitor": {first(s.Expect.Monitor), a.Key.Monitor}, "service": {first(s.Expect.Service), a.Key.Service},
				"namespace": {s.Expect.Namespace, a.Namespace}, "pod": {s.Expect.Pod, a.Pod},
			} {
				if pair[0] != "" && pair[0] != pair[1] {
					t.Errorf("%s is %q, want %q", what, pair[1], pair[0])
				}
			}
		})
	}
}

// first is the value before a remark in brackets.
func first(s string) string { s, _, _ = strings.Cut(s, " ("); return s }

// TestCycle plays a cycle as it comes: triggered, delivered twice,
// re-triggered, recovered. One capture in all.
func TestCycle(t *testing.T) {
	all := samples(t)
	k, address := start(t, io.Discard)
	say := func(name string) map[string]any {
		_, answer := post(t, address, []byte(all[name].Body), all[name].Headers)
		return answer
	}
	one := say("03-profbot-triggered-multi-alert")
	if one["action"] != "capture" || one["incident"] == "" {
		t.Fatalf("triggered: %v", one)
	}
	if again := say("03-profbot-triggered-multi-alert"); again["repeated"] != true || again["incident"] != one["incident"] {
		t.Errorf("delivered twice: %v", again)
	}
	if re := say("04-profbot-re-triggered"); re["action"] != "record" || re["incident"] != one["incident"] || !strings.Contains(re["reason"].(string), "cool-down") {
		t.Errorf("re-triggered: %v", re)
	}
	if end := say("06-profbot-recovered"); end["action"] != "resolve" || end["incident"] != one["incident"] {
		t.Errorf("recovered: %v", end)
	}
	inc, _, err := k.st.Incident(t.Context(), one["incident"].(string))
	if err != nil || inc.Recovered.IsZero() {
		t.Errorf("incident %+v, %v", inc, err)
	}
}

func TestShapes(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       incident.Alert
	}{
		{
			"numbers and lists", `{"id": 8306077573749414142, "monitor_id": 1234, "transition": "Triggered", "tags": ["service:eu/ecs:gateway", "env:prod", "monitor"]}`,
			incident.Alert{
				ID: "8306077573749414142", Key: incident.Key{Service: "eu/ecs:gateway", Env: "prod", Monitor: "1234"}, Transition: incident.TransitionTriggered,
				Tags: []string{"service:eu/ecs:gateway", "env:prod", "monitor"},
			},
		},
		{
			"nested", `{"alert": {"id": "7", "transition": "Re-Warn", "scope": "pod_name:a, service:s", "title": "t"}, "id": "1"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s", Monitor: "7"}, Pod: "a", Transition: incident.TransitionWarn, Title: "t"},
		},
		{
			"other names", `{"alertid": "7", "scope": "service:s", "alerttransition": "Recovered from failure", "id": "1"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s", Monitor: "7"}, Transition: incident.TransitionRecovered},
		},
		{
			"null texts", `{"id":"1","alert_id":"null","alert_transition":"null","tags":"null","service":"null","host":null}`,
			incident.Alert{ID: "1", Transition: incident.TransitionUnknown},
		},
		{
			"a new transition", `{"id":"1","alert_transition":"Escalated","service":"s","title":"[Triggered] x"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s"}, Transition: incident.TransitionUnknown, Title: "[Triggered] x"},
		},
		{
			"renotify", `{"id":"1","alert_transition":"RENOTIFY","service":"s"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s"}, Transition: incident.TransitionRetriggered},
		},
		{
			"no data", `{"id":"1","alert_transition":"Re-No Data","service":"s"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s"}, Transition: incident.TransitionNoData},
		},
		{
			"a link that is none", `{"id":"1","link":"javascript:alert(1)","title":"a\u0000\u202eb","service":"s"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s"}, Transition: incident.TransitionUnknown, Title: "ab"},
		},
		{
			"star scope", `{"id":"1","alert_scope":"*","tags":"service:s","alert_transition":"Triggered"}`,
			incident.Alert{ID: "1", Key: incident.Key{Service: "s"}, Transition: incident.TransitionTriggered, Tags: []string{"service:s"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, address := start(t, io.Discard)
			if status, answer := post(t, address, []byte(tc.body), nil); status > 299 {
				t.Fatalf("status %d, %v", status, answer)
			}
			tc.want.Source, tc.want.At = "datadog", now
			if d := cmp.Diff(tc.want, k.last); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNoIDMeansTheBody(t *testing.T) {
	_, address := start(t, io.Discard)
	body := []byte(`{"service":"s","alert_transition":"Triggered"}`)
	if _, one := post(t, address, body, nil); one["action"] != "capture" {
		t.Errorf("first: %v", one)
	}
	if _, two := post(t, address, body, nil); two["repeated"] != true {
		t.Errorf("second: %v", two)
	}
}

func TestWhoMaySend(t *testing.T) {
	var log bytes.Buffer
	_, address := start(t, &log)
	body := []byte(`{"id":"1","service":"s"}`)
	basic := func(user, password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for _, tc := range []struct {
		auth string
		want int
	}{
		{"Bearer " + token, 200},
		{"bearer " + token, 200},
		{"Bearer second-token-of-two", 200},
		{basic("datadog", "basic-password-1"), 200},
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer " + token + "x", 401},
		{"Bearer " + token[1:], 401},
		{token, 401},
		{"Digest " + token, 401},
		{basic("datadog", ""), 401},
		{basic("datado", "gbasic-password-1"), 401},
		{basic("", "basic-password-1"), 401},
		{basic("datadog", token), 401},
		{"Basic !!!", 401},
	} {
		status, answer := post(t, address, body, map[string]string{"Authorization": tc.auth})
		if status != tc.want {
			t.Errorf("%q: status %d, want %d", tc.auth, status, tc.want)
		}
		if text := answer["error"]; tc.want == 401 && (text == nil || strings.Contains(text.(string), token)) {
			t.Errorf("%q: %v", tc.auth, answer)
		}
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), "basic-password") {
		t.Errorf("a secret is in the log:\n%s", log.String())
	}
}

func TestRefusals(t *testing.T) {
	_, address := start(t, io.Discard)
	good := `{"id":"1","service":"s"}`
	for _, tc := range []struct {
		name, body string
		header     map[string]string
		want       int
	}{
		{"text", good, map[string]string{"Content-Type": "text/plain"}, 415},
		{"other charset", good, map[string]string{"Content-Type": "application/json; charset=utf-16"}, 415},
		{"broken type", good, map[string]string{"Content-Type": ";;"}, 415},
		{"no type", good, map[string]string{"Content-Type": ""}, 200},
		{"capitals", good, map[string]string{"Content-Type": "APPLICATION/JSON; Charset=UTF-8"}, 200},
		{"largest", good + strings.Repeat(" ", webhook.MaxBody-len(good)), nil, 200},
		{"too large", good + strings.Repeat(" ", webhook.MaxBody), nil, 413},
		{"empty", "", nil, 400},
		{"null", "null", nil, 400},
		{"list", "[1]", nil, 400},
		{"text body", `"x"`, nil, 400},
		{"two objects", good + good, nil, 400},
		{"cut", `{"id":`, nil, 400},
		{"deep", strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), nil, 400},
		{"no form", "%zz", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 400},
		{"empty form", "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 400},
	} {
		if status, answer := post(t, address, []byte(tc.body), tc.header); status != tc.want || tc.want > 299 && answer["error"] == "" {
			t.Errorf("%s: status %d, %v, want %d", tc.name, status, answer, tc.want)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := send(t, req); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", status)
	}
}

func TestStoreFails(t *testing.T) {
	k, address := start(t, io.Discard)
	k.fail = errors.New("disk full: secret detail")
	status, answer := post(t, address, []byte(`{"id":"1","service":"s"}`), nil)
	if status != http.StatusServiceUnavailable || strings.Contains(answer["error"].(string), "secret detail") {
		t.Errorf("status %d, %v", status, answer)
	}
}

func TestExample(t *testing.T) {
	for _, transition := range []string{"triggered", "re-triggered", "warn", "no-data", "recovered", "test"} {
		for _, form := range []bool{false, true} {
			for _, plain := range []bool{false, true} {
				k, address := start(t, io.Discard)
				e := webhook.Example{
					Service: "live-api", Env: "prod", Namespace: "live", Pod: "live-api-0", Monitor: "1234", MonitorName: `CPU "hot" <é🚨>`, Transition: transition,
					Cycle: "c1", EventID: "99", Value: "0.93", Threshold: "0.90", At: now, Form: form, DefaultPayload: plain,
				}
				req, err := e.Request(t.Context(), address, token)
				if err != nil {
					t.Fatal(err)
				}
				if status, answer := send(t, req); status > 299 {
					t.Fatalf("%+v: status %d, %v", e, status, answer)
				}
				a := k.last
				want := incident.Transition(transition)
				if transition == "test" {
					want = incident.TransitionTriggered
				}
				if a.ID != "99" || a.Key.Service != "live-api" || a.Key.Monitor != "1234" || a.Pod != "live-api-0" || a.Transition != want || a.Test != (transition == "test") ||
					!a.At.Equal(now) || !strings.Contains(a.Title, `CPU "hot" <é🚨>`) || !plain && (a.Cycle != "c1" || a.Key.Env != "prod" || a.Namespace != "live") {
					t.Errorf("%s form %v default payload %v: %+v", transition, form, plain, a)
				}
			}
		}
	}
	if _, err := (webhook.Example{Transition: "exploded"}).Request(t.Context(), "http://x", ""); err == nil || !strings.Contains(err.Error(), "re-triggered") {
		t.Errorf("error %v", err)
	}
}

func TestNewHandlerRefuses(t *testing.T) {
	for name, opt := range map[string]webhook.Options{
		"no accepter": {Tokens: []string{token}}, "nobody": {Accepter: &keeper{}}, "empty token": {Accepter: &keeper{}, Tokens: []string{""}},
		"empty password": {Accepter: &keeper{}, Basic: []webhook.Credential{{User: "a"}}},
	} {
		if _, err := webhook.NewHandler(opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type nobody struct{}

func (nobody) Accept(_ context.Context, a incident.Alert) (incident.Receipt, error) {
	action, reason := incident.Decide(a)
	return incident.Receipt{Action: action, Reason: reason}, nil
}

// FuzzHandler sends anything: no panic, no 5xx, always one line of JSON.
func FuzzHandler(f *testing.F) {
	for _, s := range samples(f) {
		f.Add([]byte(s.Body), s.Headers["Content-Type"], "Bearer "+token)
	}
	f.Add([]byte(url.Values{"alert_id": {"1"}, "tags": {"service:s"}}.Encode()), "application/x-www-form-urlencoded", "Bearer "+token)
	f.Add([]byte(`{"tags":[[{}],1,null]}`), "", "Basic eDp5")
	h, err := webhook.NewHandler(webhook.Options{Accepter: nobody{}, Tokens: []string{token}, Basic: []webhook.Credential{{User: "x", Password: "y"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, authorization string) {
		req := httptest.NewRequest(http.MethodPost, "/webhooks/datadog", bytes.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("status %d, %q", w.Code, w.Body)
		}
	})
}
