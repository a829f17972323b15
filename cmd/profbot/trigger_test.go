package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/webhook"
)

// accepter answers like a profbot that has nothing but this alert.
type accepter struct {
	mu  sync.Mutex
	got []incident.Alert
}

func (a *accepter) Accept(_ context.Context, alert incident.Alert) (incident.Receipt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, alert)
	action, reason := incident.Decide(alert)
	return incident.Receipt{Action: action, Reason: reason}, nil
}

// TestTrigger follows the advice that trigger prints, as a person would.
func TestTrigger(t *testing.T) {
	var a accepter
	h, err := webhook.NewHandler(webhook.Options{Accepter: &a, Tokens: []string{"0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	trigger := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(append([]string{"trigger", "--token=0123456789abcdef"}, args...), streams{strings.NewReader(""), &out, &errs}); code != 0 {
			t.Fatalf("exit %d: %s%s", code, &out, &errs)
		}
		return out.String()
	}
	fired := trigger("--service=live-api", "--env=test", "--url="+srv.URL)
	_, advice, ok := strings.Cut(fired, "end it with (with the same --token): profbot trigger ")
	if !ok {
		t.Fatalf("no advice how to end it: %s", fired)
	}
	if ended := trigger(strings.Fields(advice)...); strings.Contains(ended, "end it with") {
		t.Errorf("a recovery is to be ended again: %s", ended)
	}
	if again := trigger("--service=live-api", "--env=test", "--transition=no-data", "--url="+srv.URL); strings.Contains(again, "end it with") {
		t.Errorf("what was recorded alone is to be ended: %s", again)
	}
	var got []string
	for _, alert := range a.got {
		got = append(got, fmt.Sprintf("%s %v %t", alert.Transition, alert.Key, alert.Cycle == a.got[0].Cycle && alert.Cycle != ""))
	}
	want := []string{"triggered {live-api test 1234} true", "recovered {live-api test 1234} true", "no-data {live-api test 1234} false"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestTriggerElsewhere sends an alert to what is not the public listener.
func TestTriggerElsewhere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	var out, errs bytes.Buffer
	if code := run([]string{"trigger", "--service=live-api", "--url=" + srv.URL}, streams{strings.NewReader(""), &out, &errs}); code != 1 {
		t.Errorf("exit %d", code)
	}
	if want := srv.URL + " is not profbot's public listener"; !strings.Contains(errs.String(), want) {
		t.Errorf("no %q: %s", want, &errs)
	}
}

// refuser keeps every alert with a reason, as for a service that is not known.
type refuser struct{}

func (refuser) Accept(context.Context, incident.Alert) (incident.Receipt, error) {
	return incident.Receipt{Action: incident.ActionRecord, Reason: `service "nosuch" is not configured; there are: live-api`}, nil
}

// TestTriggerForNothing: an alert that nothing follows from is no success.
func TestTriggerForNothing(t *testing.T) {
	h, err := webhook.NewHandler(webhook.Options{Accepter: refuser{}, Tokens: []string{"0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	for transition, want := range map[string]int{"triggered": 1, "test": 0, "no-data": 0} {
		var out, errs bytes.Buffer
		code := run([]string{"trigger", "--token=0123456789abcdef", "--service=nosuch", "--transition=" + transition, "--url=" + srv.URL}, streams{strings.NewReader(""), &out, &errs})
		if code != want || (want == 1) != strings.Contains(errs.String(), "nothing is profiled: service") {
			t.Errorf("%s: exit %d, want %d: %s", transition, code, want, &errs)
		}
	}
}
