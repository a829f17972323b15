package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// TestOnce: a key counts once, also for a profbot that was restarted, until
// nobody can send it again.
func TestOnce(t *testing.T) {
	f := open(t)
	once := func(key string, want bool) {
		t.Helper()
		got, err := f.Once(t.Context(), key)
		if err != nil || got != want {
			t.Errorf("Once(%q) at %s = %t, %v, want %t", key, f.now, got, err, want)
		}
	}
	once("Ev1", true)
	once("Ev1", false)
	once("Ev2", true)
	f.now = f.now.Add(10*time.Minute + time.Second)
	f.Close()
	f.reopen(t)
	once("Ev1", false)
	f.now = f.now.Add(10 * time.Minute)
	once("Ev1", true)
}

// TestMute: a mute holds until its end, is replaced by the next and lifted by
// one that has ended.
func TestMute(t *testing.T) {
	f := open(t)
	mute := func(service, env string, d time.Duration) incident.Mute {
		m := incident.Mute{Service: service, Env: env, Until: f.now.Add(d), By: "U1", At: f.now}
		if err := f.Mute(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	check := func(when string, want ...incident.Mute) {
		t.Helper()
		got, err := f.Mutes(t.Context())
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", when, err, d)
		}
	}
	check("at first")
	mute("live-api", "prod", time.Hour)
	gift := mute("gift-api", "", 3*time.Hour)
	longer := mute("live-api", "prod", 2*time.Hour)
	check("replaced", gift, longer)
	f.now = f.now.Add(2 * time.Hour)
	check("one has ended", gift)
	mute("gift-api", "prod", -time.Hour)
	check("another env's is lifted", gift)
	mute("live-api", "staging", time.Hour)
	mute("live-api", "", 0)
	mute("gift-api", "", 0)
	check("all lifted")
}

// TestDeeds: the audit log keeps the order, and goes with what it is about.
func TestDeeds(t *testing.T) {
	f := open(t)
	first := incident.Deed{At: f.now, User: "U1", What: "cpu live-api", Service: "live-api", Incident: "abc"}
	second := incident.Deed{At: f.now.Add(time.Hour), User: "U2", What: "mute live-api 2h", Refused: "not allowed"}
	for _, d := range []incident.Deed{first, second} {
		if err := f.Note(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Deeds(t.Context(), 10)
	if d := cmp.Diff([]incident.Deed{second, first}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if _, err := f.Prune(t.Context(), f.now.Add(time.Minute), f.now); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Deeds(t.Context(), 10); err != nil || !cmp.Equal(got, []incident.Deed{second}) {
		t.Errorf("after pruning: %v, %v", got, err)
	}
}

// TestDigests: a channel is in the list from its first time to its zero time.
func TestDigests(t *testing.T) {
	f := open(t)
	for _, last := range []time.Time{f.now, f.now.Add(time.Hour)} {
		if err := f.Digest(t.Context(), "C1", last); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Digests(t.Context())
	if err != nil || len(got) != 1 || !got["C1"].Equal(f.now.Add(time.Hour)) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := f.Digest(t.Context(), "C1", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Digests(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after the end: %v, %v", got, err)
	}
}

// TestHistory: incidents by service without verifications, which are found by
// what they verify; what is worked on; and an incident by its message.
func TestHistory(t *testing.T) {
	f := open(t)
	one := f.accept(t, fired("1", "c1")).Incident
	f.now = f.now.Add(time.Minute)
	other := fired("2", "c2")
	other.Key.Service = "gift-api"
	two := f.accept(t, other).Incident
	f.now = f.now.Add(time.Minute)
	verify := fired("3", incident.VerifyCycle+one+"/77")
	verify.Verifies = one
	three := f.accept(t, verify).Incident

	ids := func(incs []incident.Incident, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, inc := range incs {
			out = append(out, inc.ID)
		}
		return out
	}
	if d := cmp.Diff([]string{one}, ids(f.History(t.Context(), "live-api", 10))); d != "" {
		t.Errorf("of one service (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{two, one}, ids(f.History(t.Context(), "", 10))); d != "" {
		t.Errorf("of all (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{one, two, three}, ids(f.Working(t.Context()))); d != "" {
		t.Errorf("working (-want +got):\n%s", d)
	}
	if _, err := f.Verification(t.Context(), one); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("a verification that is not done: %v", err)
	}
	if err := f.Finish(t.Context(), three, &analysis.Report{}, ""); err != nil {
		t.Fatal(err)
	}
	if v, err := f.Verification(t.Context(), one); err != nil || v.ID != three {
		t.Errorf("verification of %s is %q, %v, want %q", one, v.ID, err, three)
	}
	if d := cmp.Diff([]string{one, two}, ids(f.Working(t.Context()))); d != "" {
		t.Errorf("working after that (-want +got):\n%s", d)
	}

	if err := f.SaveEffect(t.Context(), two, "root", incident.Effect{State: incident.EffectDone, Ref: "C1/12.34"}); err != nil {
		t.Fatal(err)
	}
	var last string // of those told in a thread that begins with no incident, and in that of two
	for i, thread := range []string{"12.34", "99.1", "99.1"} {
		f.now = f.now.Add(time.Minute)
		a := fired(fmt.Sprint("asked", i), fmt.Sprint("asked", i))
		a.Place = incident.Place{Channel: "C1", Thread: thread}
		last = f.accept(t, a).Incident
	}
	for at, want := range map[incident.Place]string{
		{Channel: "C1", Thread: "12.34"}: two, {Channel: "C1", Thread: "99.1"}: last, {Channel: "C1", Thread: "12.3"}: "", {Channel: "C2", Thread: "99.1"}: "", {Channel: "C1"}: "", {}: "",
	} {
		if got, err := f.Thread(t.Context(), "root", at); err != nil || got != want {
			t.Errorf("incident of %v is %q, %v, want %q", at, got, err, want)
		}
	}
	latest, err := f.Latest(t.Context())
	if err != nil || len(latest) != 2 || latest["live-api"].ID != last {
		t.Errorf("latest %v, %v, want %s", latest, err, last)
	}
}

// TestAlertsOf finds alerts by service, by id, and by id with the source.
func TestAlertsOf(t *testing.T) {
	f := open(t)
	f.accept(t, fired("1", "c1"))
	f.now = f.now.Add(time.Minute)
	f.accept(t, fired("2", "c2"))
	for what, want := range map[string][]string{"live-api": {"2", "1"}, "1": {"1"}, "datadog/2": {"2"}, "slack/2": nil, "": nil, "%": nil} {
		rs, err := f.AlertsOf(t.Context(), what, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rs {
			got = append(got, r.Alert.ID)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("alerts of %q (-want +got):\n%s", what, d)
		}
	}
}
