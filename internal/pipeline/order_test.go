package pipeline_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// order is what a person asks for.
func order(id string, o incident.Order) incident.Alert {
	return incident.Alert{
		Source: "slack", ID: id, Cycle: "slack/" + id, Key: incident.Key{Service: "live-api"}, Transition: incident.TransitionTriggered,
		RequestedBy: "U1", Order: &o, Place: incident.Place{Channel: "C1"},
	}
}

// TestOrders: what is pulled for each, from whom and for how long.
func TestOrders(t *testing.T) {
	full := []string{"allocs-after", "allocs-before", "block-before", "cpu", "goroutine", "mutex-before"}
	for name, tc := range map[string]struct {
		order    incident.Order
		pod      string
		pulled   []string // of pod-1, by name; those of waiting end with the first, which is empty
		others   bool     // are profiled too
		pictured analysis.Kind
	}{
		"cpu":             {order: incident.Order{Kinds: []incident.Kind{incident.KindCPU}, Window: 10 * time.Second}, pulled: full, others: true, pictured: analysis.KindCPU},
		"cpu of two pods": {order: incident.Order{Pods: 2}, pulled: full, others: true, pictured: analysis.KindCPU},
		"heap":            {order: incident.Order{Kinds: []incident.Kind{incident.KindHeap}, Window: 5 * time.Second}, pulled: []string{"heap", "heap-before"}, pictured: analysis.KindHeap},
		"allocs":          {order: incident.Order{Kinds: []incident.Kind{incident.KindAllocsAfter}}, pulled: []string{"allocs-after", "allocs-before"}, pictured: analysis.KindAllocs},
		"goroutine":       {order: incident.Order{Kinds: []incident.Kind{incident.KindGoroutine}}, pulled: []string{"goroutine"}, pictured: analysis.KindGoroutine},
		"of one pod":      {order: incident.Order{Kinds: []incident.Kind{incident.KindGoroutine}}, pod: "pod-2", pictured: analysis.KindGoroutine, others: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, three(), onePod)
				w.bytes = map[string]float64{"pod-1": 1 << 30}
				w.start()
				a := order("1", tc.order)
				a.Pod = tc.pod
				rec, err := w.p.Accept(t.Context(), a)
				if err != nil || rec.Action != incident.ActionCapture {
					t.Fatalf("%+v, %v", rec, err)
				}
				u := w.untilFinal(t, rec.Incident)
				if u.Incident.Status != incident.StatusDone || u.Report.Pictured() != tc.pictured || len(u.Picture) == 0 {
					t.Fatalf("%s, %q, %+v", u.Incident.Status, u.Incident.Failure, u.Report)
				}
				var mine []string
				others, hot := false, map[string]bool{}
				for _, c := range u.Captures {
					others = others || c.Pod != "pod-1"
					if c.Role == incident.RoleHot {
						hot[c.Pod] = true
					}
				}
				for _, what := range w.asked() {
					if kind, ok := strings.CutPrefix(what, "pod-1 "); ok {
						mine = append(mine, kind)
					}
				}
				slices.Sort(mine)
				if d := cmp.Diff(tc.pulled, mine); d != "" || others != tc.others || len(hot) != max(1, tc.order.Pods) {
					t.Errorf("others %t, hot %v, pulled (-want +got):\n%s", others, hot, d)
				}
				captures := w.captures(rec.Incident)
				if c, ok := captures["pod-1 cpu"]; ok && tc.order.Window > 0 && c.Window != tc.order.Window {
					t.Errorf("window %s, want %s", c.Window, tc.order.Window)
				}
				if heap, ok := captures["pod-1 heap"]; ok {
					if d := heap.Started.Sub(captures["pod-1 heap-before"].Finished); d < tc.order.Window || d > 2*tc.order.Window {
						t.Errorf("the two heaps are %s apart", d)
					}
				}
			})
		})
	}
}

// TestMuted: a muted service's alerts are kept with the reason until the end
// of the mute, and people are served all the same.
func TestMuted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, three(), onePod)
		w.start()
		m := incident.Mute{Service: "live-api", Until: time.Now().Add(20 * time.Second), By: "U1", At: time.Now()}
		if err := w.st.Mute(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		rec, err := w.p.Accept(t.Context(), alert("1", incident.TransitionTriggered))
		if err != nil || rec.Action != incident.ActionRecord || !strings.Contains(rec.Reason, "is muted until") {
			t.Errorf("muted: %+v, %v", rec, err)
		}
		rec, err = w.p.Accept(t.Context(), order("2", incident.Order{Kinds: []incident.Kind{incident.KindGoroutine}}))
		if err != nil || rec.Action != incident.ActionCapture {
			t.Errorf("ordered: %+v, %v", rec, err)
		}
		w.untilFinal(t, rec.Incident)
		pass(20 * time.Second)
		late := alert("3", incident.TransitionTriggered)
		late.Cycle = "another"
		rec, err = w.p.Accept(t.Context(), late)
		if err != nil || rec.Action != incident.ActionCapture {
			t.Errorf("after it: %+v, %v", rec, err)
		}
		w.untilFinal(t, rec.Incident)
	})
}

// lines is a difference without its picture.
func lines(d *incident.Difference) any {
	if d == nil {
		return nil
	}
	return []any{d.Against, d.Lines, len(d.Picture)}
}

// TestDifference: a capture is compared with the control pod, or with the
// incident that the order names, and what was found is there again for the
// next telling.
func TestDifference(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, three(), onePod)
		w.start()
		rec, err := w.p.Accept(t.Context(), alert("1", incident.TransitionTriggered))
		if err != nil {
			t.Fatal(err)
		}
		u := w.untilFinal(t, rec.Incident)
		if u.Diff == nil || u.Diff.Against != "pod-2, a cool pod at the same time" || len(u.Diff.Picture) == 0 || len(u.Diff.Lines) != 0 {
			t.Errorf("two pods with the same profile: %+v", lines(u.Diff))
		}
		again, err := w.p.Accept(t.Context(), order("2", incident.Order{Against: rec.Incident}))
		if err != nil {
			t.Fatal(err)
		}
		u = w.untilFinal(t, again.Incident)
		if u.Diff == nil || !strings.HasPrefix(u.Diff.Against, "incident "+rec.Incident+" of ") || u.Report.Diff == nil || u.Report.Diff.Tests == 0 {
			t.Errorf("against an incident: %+v", lines(u.Diff))
		}
		shown, err := w.p.Show(t.Context(), again.Incident)
		if d := cmp.Diff(lines(u.Diff), lines(shown.Diff)); d != "" || err != nil {
			t.Errorf("shown later: %v (-want +got):\n%s", err, d)
		}
		gone, err := w.p.Accept(t.Context(), order("3", incident.Order{Against: "nosuch"}))
		if err != nil {
			t.Fatal(err)
		}
		u = w.untilFinal(t, gone.Incident)
		if u.Diff != nil || u.Incident.Status != incident.StatusDone || !strings.Contains(strings.Join(u.Report.Notes, "\n"), "deleted since") {
			t.Errorf("against none: %s, %+v, %q", u.Incident.Status, lines(u.Diff), u.Report.Notes)
		}
	})
}
