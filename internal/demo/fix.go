package demo

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
)

// settle is how long the demo waits after the fix: until the fleet's loads and
// rates, means over 5 s, are about the time with the fix alone.
const settle = 6 * time.Second

// fix rolls out the fix while the traffic goes on as it is.
func (d *demo) fix(ctx context.Context) error {
	d.Progress("The team ships the fix: the lists come through pkg/sfcache, at the same load", "")
	d.load.Hold()
	if err := d.fleet.Fix(ctx); err != nil {
		return err
	}
	hot := d.fleet.Pods()[0].Name
	settled := time.NewTimer(settle)
	defer settled.Stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-settled.C:
			return nil
		case <-tick.C:
			d.busy(hot)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// minGain is what the fix must bring at least: the lists' decoding is more than
// half of the hot pod's CPU.
const minGain = 1.5

// judge holds the reports to what the services do: both lists decode cached
// bytes, the other two routes do not, and the fix helps.
func (d *demo) judge() error {
	is := map[string]analysis.Verdict{}
	for _, e := range d.res.Report.Endpoints {
		for _, h := range []string{"LiveList", "GiftList", "User", "Chat"} {
			if strings.HasSuffix(e.Handler, "."+h) {
				is[h] = e.Verdict
			}
		}
	}
	var bad []string
	for _, h := range []string{"LiveList", "GiftList"} {
		if v := is[h]; v.Rule != analysis.RuleCacheDecode {
			bad = append(bad, fmt.Sprintf("%s should be flagged and is %q (%s)", h, cmp.Or(v.Rule, "not seen"), v.Why))
		}
	}
	for _, h := range []string{"User", "Chat"} {
		if v := is[h]; v.Flagged || v.Rule == analysis.RuleCacheDecode {
			bad = append(bad, fmt.Sprintf("%s should not be flagged and is %q (%s)", h, v.Rule, v.Why))
		}
	}
	for _, ch := range d.res.Proof.Endpoints {
		// With hardly any CPU left there may be too few samples for more.
		gone := (ch.Outcome == analysis.OutcomeUnseen || ch.Outcome == analysis.OutcomeFew) && ch.CPUAfter.High < ch.CPUBefore.Low
		if ch.Outcome != analysis.OutcomeFixed && ch.Outcome != analysis.OutcomeBetter && !gone {
			bad = append(bad, fmt.Sprintf("%s should be fixed and is %q (%s before, %s after)", ch.Name, ch.Outcome, ch.Before, ch.After))
		}
	}
	if g := d.res.Proof.Gain(); g < minGain {
		bad = append(bad, fmt.Sprintf("a CPU-second should serve at least %.1f times the requests and serves %.2f times", minGain, g))
	}
	if len(bad) > 0 {
		return &UnexpectedError{bad}
	}
	return nil
}
