package storm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/config"
)

const profiles = "../../analysis/testdata/corpus"

// TestMain is profbot itself when the storm starts this test's binary.
func TestMain(m *testing.M) {
	if os.Getenv("PROFBOT_STORM_MAIN") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cfg, err := config.Load(os.Args[len(os.Args)-1], nil)
	if err == nil {
		err = app.Run(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestStorm is the small form of make storm: every alert becomes a told
// incident, and no more CPU profiles run at once than the budget allows.
func TestStorm(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Exe: exe, Env: []string{"PROFBOT_STORM_MAIN=1"}, Dir: t.TempDir(), Profiles: profiles,
		Alerts: 6, Pods: 60, Nodes: 5, Window: time.Second, Simultaneous: 3,
	}
	res, err := Run(t.Context(), opt)
	if err != nil {
		log, _ := os.ReadFile(opt.Dir + "/profbot.log") // it says why, if it is there
		t.Fatalf("%v: %+v\n%s", err, res, log)
	}
	if res.Discovered != 60 || res.Alerts != 6 || res.Incidents != 6 || res.Told != 6 || res.Pictures != 6 || res.Details != 6 || res.Extra != 0 {
		t.Errorf("not everything was told once: %+v", res)
	}
	if res.MostAtOnce > 3 || res.MostPerService > 2 || res.MostPerNode != 1 || res.MostPerPod != 1 || res.Profiles != 6*3 || res.Uninvited != 0 {
		t.Errorf("more CPU profiles than the budgets, or others: %+v", res)
	}
}

func TestLimits(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	l := newLimits(func() time.Time { return now })
	for i := range 5 {
		if wait := l.take("chat.postMessage", channel); wait != 0 {
			t.Fatalf("message %d of a burst waits %s", i, wait)
		}
	}
	if wait := l.take("chat.postMessage", channel); wait != time.Second {
		t.Errorf("the next waits %s, want a second", wait)
	}
	if wait := l.take("auth.test", ""); wait != 0 || l.refused() != 1 {
		t.Errorf("a method without a limit waits %s; %d were refused", wait, l.refused())
	}
	now = now.Add(time.Second)
	if wait := l.take("chat.postMessage", channel); wait != 0 {
		t.Errorf("a second later it waits %s", wait)
	}
}
