package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/store"
)

type tellerFunc func(u pipeline.Update) error

func (f tellerFunc) Publish(_ context.Context, _ string, u pipeline.Update) error { return f(u) }

type noPuller struct{ pipeline.Puller }

// TestToldWithoutItsPicture loses the picture of a finished incident, as a
// disk may: the words are told, and the incident is not work for ever.
func TestToldWithoutItsPicture(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	finder, err := discovery.NewStatic([]incident.Target{{Service: "live-api", Pod: "pod-0", URL: "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan pipeline.Update, 1)
	p, err := pipeline.New(t.Context(), pipeline.Options{
		Store: st, Finder: finder, Puller: noPuller{},
		Teller: tellerFunc(func(u pipeline.Update) error { told <- u; return nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := p.Accept(t.Context(), incident.Alert{
		Source: "datadog", ID: "1", Transition: incident.TransitionTriggered, Key: incident.Key{Service: "live-api"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Finish(t.Context(), rec.Incident, &analysis.Report{Service: "live-api"}, ""); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }() // ended by stop below
	select {
	case u := <-told:
		if u.Report == nil || u.Picture != nil {
			t.Errorf("told %+v, want the report without a picture", u)
		}
	case <-time.After(30 * time.Second):
		t.Error("the incident was not told")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
