package app

import (
	"context"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/store"
)

// Progress is where one incident stands.
type Progress struct {
	Incident  incident.Incident
	Captures  []incident.Capture
	Report    *analysis.Report // nil until done
	ReportURL string
	Told      bool                 // everything there is to tell was told
	Proof     *analysis.Comparison // of the verification of a fix, when done
}

// Progress lists the most recent incidents, newest first.
func (a *App) Progress(ctx context.Context) ([]Progress, error) {
	incs, err := a.store.Incidents(ctx, 10)
	if err != nil {
		return nil, err
	}
	idle, err := a.store.Untold(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Progress, len(incs))
	for i, inc := range incs {
		p := Progress{Incident: inc, Told: !idle[inc.ID]}
		if p.Captures, err = a.store.Captures(ctx, inc.ID); err != nil {
			return nil, err
		}
		if inc.Status == incident.StatusDone {
			if p.Report, err = a.store.Report(ctx, inc.ID); err != nil {
				return nil, err
			}
			p.ReportURL, _ = a.web.Link(inc.ID)
			if inc.Alert.Verifies != "" {
				if p.Proof, err = a.pipeline.Proof(ctx, inc, p.Captures, p.Report); err != nil {
					return nil, err
				}
			}
		}
		out[i] = p
	}
	return out, nil
}

// Store is profbot's memory, for those who show it: the demo, and tests.
func (a *App) Store() *store.Store { return a.store }
