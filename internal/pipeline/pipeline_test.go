package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// three pods, of which one is hot.
func three() map[string]float64 { return map[string]float64{"pod-0": 0.4, "pod-1": 0.9, "pod-2": 0.1} }

func onePod(o *pipeline.Options) { o.Policy.Pods = 1 }

func TestWholeWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, three(), onePod, func(o *pipeline.Options) {
			o.Links = func(id string) (string, string) { return "http://r/" + id, "http://f/" + id }
		})
		w.start()
		id := w.fire()
		u := w.untilFinal(t, id)

		if u.Incident.Status != incident.StatusDone || u.Incident.Failure != "" || u.Incident.Finished.IsZero() {
			t.Errorf("incident = %+v", u.Incident)
		}
		if u.Report == nil || len(u.Report.Flagged()) == 0 || u.Report.Service != "live-api" {
			t.Errorf("report = %+v", u.Report)
		}
		if _, err := png.Decode(bytes.NewReader(u.Picture)); err != nil {
			t.Errorf("picture: %v", err)
		}
		if u.ReportURL != "http://r/"+id || u.FlameURL != "http://f/"+id {
			t.Errorf("links = %q, %q", u.ReportURL, u.FlameURL)
		}
		if page, err := w.st.Blob(id, pipeline.BlobFlame); err != nil || !bytes.Contains(page, []byte("<html")) {
			t.Errorf("flame page: %d bytes, %v", len(page), err)
		}

		pods := map[string][]string{}
		for _, p := range w.asked() {
			pod, kind, _ := strings.Cut(p, " ")
			pods[pod] = append(pods[pod], kind)
		}
		if d := cmp.Diff(map[string][]string{"pod-1": asked(incident.RoleHot), "pod-2": asked(incident.RoleControl)}, pods); d != "" {
			t.Errorf("pulled (-want +got):\n%s", d)
		}
		all, err := profiles()
		if err != nil {
			t.Fatal(err)
		}
		for what, c := range w.captures(id) {
			if c.Kind.Waiting() { // nothing was in it: no failure, and no bytes
				if c.Status != incident.CaptureStored || c.Outcome != incident.OutcomeEmpty || c.Blob != "" || c.Bytes != 0 {
					t.Errorf("%s: %+v", what, c)
				}
				continue
			}
			data, err := w.st.Blob(id, c.Blob)
			if err != nil || c.Status != incident.CaptureStored || c.Outcome != incident.OutcomeStored || c.Bytes != int64(len(data)) || !bytes.Equal(data, all[c.Kind]) {
				t.Errorf("%s: %+v, %d bytes, %v", what, c, len(data), err)
			}
			if want := map[incident.Kind]time.Duration{incident.KindCPU: 30 * time.Second}[c.Kind]; c.Window != want {
				t.Errorf("%s: window %s, want %s", what, c.Window, want)
			}
			if want := map[string]incident.Role{"pod-1": incident.RoleHot, "pod-2": incident.RoleControl}[c.Pod]; c.Role != want {
				t.Errorf("%s: role %q, want %q", what, c.Role, want)
			}
		}
		if u := w.untold(); len(u) > 0 {
			t.Errorf("untold: %v", u)
		}

		// What was told only ever moved forward.
		order := []incident.Status{incident.StatusAccepted, incident.StatusCapturing, incident.StatusReporting, incident.StatusDone}
		var seen []int
		for _, u := range w.all(id) {
			seen = append(seen, slices.Index(order, u.Incident.Status))
		}
		if !slices.IsSorted(seen) || seen[0] != 0 || seen[len(seen)-1] != 3 {
			t.Errorf("states told: %v", seen)
		}

		// A second delivery of the same alert leads to nothing new.
		pass(10 * time.Second)
		before, calls := len(w.asked()), w.made()
		rec, err := w.p.Accept(t.Context(), alert("e1", incident.TransitionTriggered))
		if err != nil || !rec.Repeated || rec.Incident != id {
			t.Errorf("second delivery = %+v, %v", rec, err)
		}
		pass(10 * time.Second)
		if len(w.asked()) != before || w.made() != calls {
			t.Errorf("a second delivery pulled %v and told %d times", w.asked()[before:], w.made()-calls)
		}
	})
}

// TestChoice: whatever becomes of the metric, pods are chosen, soon, and the
// thread says how.
func TestChoice(t *testing.T) {
	for _, tc := range []struct {
		name   string
		meter  func(context.Context) error
		change func(*pipeline.Options)
		pod    string // that the alert names
		want   []string
		hot    string
		atMost time.Duration
	}{
		{name: "by load", want: []string{"chose pod-1 (hot: 0.90 cores, hottest of 3 by CPU)", "pod-2 (control: 0.10 cores, the coolest of the others)"}, hot: "pod-1"},
		{name: "the metric cannot be read", meter: func(context.Context) error { return errors.New("403 Forbidden") }, want: []string{"chose pod-0 (hot: first by name", "could not be read (403 Forbidden)"}, hot: "pod-0"},
		{
			name: "the metric does not come", meter: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			want: []string{"chose pod-0 (hot: first by name", "could not be read (no answer within 10s)"}, hot: "pod-0", atMost: 15 * time.Second,
		},
		{name: "no meter", change: func(o *pipeline.Options) { o.Meter = nil }, want: []string{"chose pod-0", "no Datadog API keys are configured"}, hot: "pod-0"},
		{name: "the alert names the pod", pod: "pod-2", want: []string{"chose pod-2 (hot: named by the alert, 0.10 cores)"}, hot: "pod-2"},
		{name: "the alert names a stranger", pod: "pod-9", want: []string{"chose pod-1", `names pod "pod-9", which is not a known pod`}, hot: "pod-1"},
		{name: "no control", change: func(o *pipeline.Options) { o.Policy.NoControl = true }, want: []string{"chose pod-1"}, hot: "pod-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, three(), onePod, func(o *pipeline.Options) {
					if tc.change != nil {
						tc.change(o)
					}
				})
				w.meter = tc.meter
				w.start()
				a := alert("e1", incident.TransitionTriggered)
				a.Pod = tc.pod
				fired := time.Now()
				rec, err := w.p.Accept(t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				u := w.board.until(t, rec.Incident, "pods are chosen", func(u pipeline.Update) bool { return u.Incident.Choice != "" })
				if took := time.Since(fired); took > max(tc.atMost, 5*time.Second) {
					t.Errorf("choosing took %s", took)
				}
				for _, want := range tc.want {
					if !strings.Contains(u.Incident.Choice, want) {
						t.Errorf("choice = %q, want %q in it", u.Incident.Choice, want)
					}
				}
				u = w.untilFinal(t, rec.Incident)
				controls := 0
				for _, c := range u.Captures {
					if (c.Role == incident.RoleHot) != (c.Pod == tc.hot) {
						t.Errorf("%s is %s", c.Pod, c.Role)
					}
					if c.Role == incident.RoleControl {
						controls++
					}
				}
				if want := len(incident.CPUPlan); (controls == want) == w.opt.Policy.NoControl || u.Incident.Status != incident.StatusDone {
					t.Errorf("%d captures of controls, status %s", controls, u.Incident.Status)
				}
			})
		})
	}
}

func TestNoPods(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		u := w.untilFinal(t, w.fire())
		if u.Incident.Status != incident.StatusFailed || u.Incident.Failure != `no pods are known for service "live-api"` || u.Report != nil || u.Picture != nil {
			t.Errorf("%+v", u.Incident)
		}
		if got := w.asked(); len(got) > 0 {
			t.Errorf("pulled %v", got)
		}
	})
}

// TestUnknownService: an alert of a service that is not configured is kept with
// the reason, and nothing is told.
func TestUnknownService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, three())
		w.start()
		a := alert("e1", incident.TransitionTriggered)
		a.Key.Service = "billing"
		for _, repeated := range []bool{false, true} {
			rec, err := w.p.Accept(t.Context(), a)
			want := incident.Receipt{Action: incident.ActionRecord, Reason: `unknown service "billing"; configured: live-api`, Repeated: repeated} // the finder's words
			if d := cmp.Diff(want, rec); d != "" || err != nil {
				t.Errorf("Accept: %v (-want +got):\n%s", err, d)
			}
		}
		pass(10 * time.Second)
		if alerts, err := w.st.Alerts(t.Context(), 10); err != nil || len(alerts) != 1 || w.made() > 0 || len(w.asked()) > 0 {
			t.Errorf("%d alerts kept, %d tellings, %d pulls, %v", len(alerts), w.made(), len(w.asked()), err)
		}
	})
}

func TestNewWantsItsParts(t *testing.T) {
	w := newWorld(t, nil)
	for name, drop := range map[string]func(*pipeline.Options){
		"Store":  func(o *pipeline.Options) { o.Store = nil },
		"Finder": func(o *pipeline.Options) { o.Finder = nil },
		"Puller": func(o *pipeline.Options) { o.Puller = nil },
		"Teller": func(o *pipeline.Options) { o.Teller = nil },
	} {
		opt := w.opt
		drop(&opt)
		if _, err := pipeline.New(t.Context(), opt); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New without %s: %v", name, err)
		}
	}
}
