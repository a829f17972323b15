package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/profile"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
	"github.com/profbot/profbot/internal/incident"
)

// Names of an incident's drawn blobs.
const (
	BlobPicture = "flame.png"
	BlobFlame   = "flame.html"
)

// maxReports is how often a report is begun that crashes each time.
const maxReports = 3

// errPanic says that the report made the program panic.
var errPanic = errors.New("panic while the report was made")

// report makes the report, unless it was begun too often already: profiles
// that crash the analysis, or take all memory, would do so at every restart
// for ever. Each begin is on disk before anything is read.
func (p *Pipeline) report(ctx context.Context, inc incident.Incident) error {
	captures, err := p.Store.Captures(ctx, inc.ID)
	if err != nil {
		return err
	}
	rates, err := p.rates(ctx, inc, captures)
	if err != nil {
		return err
	}
	select {
	case p.analysing <- struct{}{}:
		defer func() { <-p.analysing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	n, err := p.Store.CountReport(ctx, inc.ID, 1)
	if err != nil {
		return err
	}
	if n > maxReports {
		return p.Store.Finish(ctx, inc.ID, nil, fmt.Sprintf(
			"the report was begun %d times and never came to an end: the analysis crashed or ran out of memory; the profiles are kept, and profbot's log says more", maxReports))
	}
	err = p.analyse(ctx, inc, captures, rates)
	if err == nil || errors.Is(err, errPanic) {
		return err
	}
	// A full disk or a stop says nothing about the profiles.
	back, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 5*time.Second, errors.New("database did not answer within 5s"))
	defer cancel()
	_, berr := p.Store.CountReport(back, inc.ID, -1)
	return errors.Join(err, berr)
}

// analyse analyses what was captured, draws it and stores both. Without a CPU
// profile of a hot pod the report is of what else the hot pods gave; without
// that the incident ends as failed, with every pod's reason.
func (p *Pipeline) analyse(ctx context.Context, inc incident.Incident, captures []incident.Capture, rates incident.Rates) (err error) {
	defer func() {
		if r := recover(); r != nil {
			p.Logger.ErrorContext(ctx, "panic while the report was made", "incident", inc.ID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	opt := analysis.Options{Service: inc.Alert.Key.Service, Thresholds: p.Policy.Thresholds, Trees: true, RateOf: rateOf(rates)}
	if inc.Measure == incident.MeasureMemory {
		opt.Focus = analysis.KindHeap
	}
	if p.Policy.Service != nil {
		opt.AppPrefixes, opt.Routes = p.Policy.Service(inc.Alert.Key.Service, inc.Alert.Key.Env)
	}
	for _, c := range captures {
		if c.Kind == incident.KindCPU && c.Role == incident.RoleHot && c.Status == incident.CaptureStored {
			opt.Requests += c.Load.Requests
		}
	}
	memory := opt.Focus == analysis.KindHeap
	l := loading{captures: captures, whole: memory}
	res, err := analysis.AnalyzeSeq(p.load(&l), opt)
	if l.err == nil && errors.Is(err, analysis.ErrNoCPU) && !memory && inc.Alert.Verifies == "" { // only shares of CPU can be compared
		l = loading{captures: captures, whole: true}
		res, err = analysis.AnalyzeSeq(p.load(&l), opt)
	}
	if l.err != nil {
		return l.err
	}
	if errors.Is(err, analysis.ErrNoCPU) || err == nil && res.Report.Pictured() != analysis.KindCPU && len(res.Others) == 0 {
		what := "no CPU profile of a hot pod could be used: "
		if memory || !inc.Alert.Order.Asks(incident.KindCPU) {
			what = "no profile of a hot pod could be used: "
		}
		return p.Store.Finish(ctx, inc.ID, nil, what+strings.Join(l.problems, "; "))
	}
	if err != nil {
		// The same bytes give the same error: trying again would not help.
		p.Logger.ErrorContext(ctx, "analysis", "incident", inc.ID, "error", err)
		return p.Store.Finish(ctx, inc.ID, nil, "the profiles could not be analysed: "+err.Error())
	}
	rep := res.Report
	var seen []incident.Seen
	for _, pod := range rep.Pods {
		if !pod.Control && pod.Window > 0 {
			seen = append(seen, incident.Seen{Pod: pod.Name, Cores: pod.Cores, Samples: pod.Samples})
		}
	}
	passed := incident.SpikesPassed(inc, captures, seen)
	if rep.Samples == 0 && rep.Pictured() == analysis.KindCPU {
		failure := "the hot pods used no CPU while they were profiled: the spike was over, or is elsewhere"
		if len(passed) > 0 {
			failure += " (" + strings.Join(passed, "; ") + ")"
		}
		return p.Store.Finish(ctx, inc.ID, nil, failure)
	}
	rep.Notes = append(rep.Notes, passed...)
	switch {
	case rates.Failure != "":
		rep.Notes = append(rep.Notes, rates.Failure)
	case slices.ContainsFunc(rep.Endpoints, func(e analysis.Endpoint) bool { return e.Rate > 0 }):
		rep.Notes = append(rep.Notes, "the requests of the endpoints are from Datadog's traces; "+rates.Basis)
	}
	rep.Notes = append(rep.Notes, l.problems...)
	if err := p.compare(ctx, inc, captures, opt, res); err != nil {
		return err
	}
	if err := p.draw(inc.ID, res); err != nil {
		return err
	}
	p.Logger.InfoContext(ctx, "analysed", "incident", inc.ID, "headline", rep.Headline())
	return p.Store.Finish(ctx, inc.ID, rep, "")
}

// loading is what [Pipeline.load] reads, and what came of it.
type loading struct {
	captures []incident.Capture
	whole    bool     // also hot pods that have no CPU profile
	problems []string // captures that cannot be used, and why
	err      error    // the store's: it ends the loading, and may pass
}

// load reads the stored profiles of the pods that have a usable CPU profile,
// and with whole those of the other hot pods too. A profile is parsed when its pod's turn has come, and only if the analysis
// uses it.
func (p *Pipeline) load(l *loading) iter.Seq[analysis.PodProfiles] {
	byPod := map[string][]incident.Capture{}
	var order []string
	for _, c := range l.captures {
		if byPod[c.Pod] == nil {
			order = append(order, c.Pod)
		}
		byPod[c.Pod] = append(byPod[c.Pod], c)
		if c.Status != incident.CaptureStored && !c.Kind.Waiting() {
			l.problems = append(l.problems, fmt.Sprintf("%s of %s: %s", c.Kind, c.Pod, reason(c)))
		}
	}
	return func(yield func(analysis.PodProfiles) bool) {
		for _, pod := range order {
			captures := byPod[pod]
			get := func(k incident.Kind) *profile.Profile {
				i := slices.IndexFunc(captures, func(c incident.Capture) bool {
					return c.Kind == k && c.Status == incident.CaptureStored && c.Blob != ""
				})
				if i < 0 || l.err != nil {
					return nil
				}
				return p.parse(captures[i], l)
			}
			pp := analysis.PodProfiles{Pod: pod, Control: captures[0].Role == incident.RoleControl, CPU: get(incident.KindCPU)}
			use := pp.CPU != nil || l.whole && !pp.Control
			if use && !pp.Control {
				pp.AllocsBefore, pp.AllocsAfter = get(incident.KindAllocsBefore), get(incident.KindAllocsAfter)
				pp.HeapBefore, pp.HeapAfter = get(incident.KindHeapBefore), get(incident.KindHeap)
				if pp.AllocsAfter == nil && pp.HeapAfter != nil { // they are allocs profiles too
					pp.AllocsBefore, pp.AllocsAfter = pp.HeapBefore, pp.HeapAfter
				}
				pp.Goroutine = get(incident.KindGoroutine)
				pp.MutexBefore, pp.Mutex = get(incident.KindMutexBefore), get(incident.KindMutex)
				pp.BlockBefore, pp.Block = get(incident.KindBlockBefore), get(incident.KindBlock)
			}
			if l.err != nil || use && !yield(pp) {
				return
			}
		}
	}
}

// parse reads one stored profile; nil and an entry in l when it cannot be used.
func (p *Pipeline) parse(c incident.Capture, l *loading) *profile.Profile {
	data, err := p.Store.Blob(c.Incident, c.Blob)
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		l.err = err
		return nil
	}
	var prof *profile.Profile
	if err == nil {
		prof, err = profile.Parse(data, p.Policy.MaxRaw)
	}
	if err == nil {
		_, err = analysis.Check(prof, string(c.Kind))
	}
	if err != nil {
		l.problems = append(l.problems, fmt.Sprintf("%s of %s: %v", c.Kind, c.Pod, err))
		return nil
	}
	return prof
}

// reason says why a capture failed.
func reason(c incident.Capture) string {
	if c.Detail == "" {
		return string(c.Outcome)
	}
	return fmt.Sprintf("%s (%s)", c.Outcome, c.Detail)
}

// draw stores the flame graph as a picture and as a page. The picture is of the
// kind that the report is about, and zooms to the endpoint when one alone is
// flagged; the page has a tab for every kind of profile, that one first, and
// one for what differs from the control pods.
func (p *Pipeline) draw(id string, res *analysis.Result) error {
	rep := res.Report
	var tabs []flame.Tab
	if rep.Samples > 0 {
		tabs = append(tabs, flame.Tab{Name: "CPU", Tree: res.Tree})
	}
	for _, t := range res.Others {
		tabs = append(tabs, flame.Tab{Name: t.Kind, Tree: t})
	}
	if kind := rep.Pictured(); kind != analysis.KindCPU {
		if i := slices.IndexFunc(tabs, func(t flame.Tab) bool { return t.Tree.Kind == string(kind) }); i > 0 {
			tabs = slices.Insert(slices.Delete(slices.Clone(tabs), i, i+1), 0, tabs[i])
		}
	}
	main := tabs[0].Tree
	opt := flame.Options{Title: rep.Headline(), Subtitle: subtitle(rep, main)}
	for _, e := range rep.Flagged() {
		opt.Highlight = append(opt.Highlight, e.Name)
	}
	if len(opt.Highlight) == 1 && main == res.Tree {
		opt.Zoom = opt.Highlight[0]
	}
	if res.Control != nil && rep.Samples > 0 {
		if d, err := analysis.DiffTree(res.Control, res.Tree); err == nil { // the control pods were not idle
			tabs = append(tabs, flame.Tab{Name: "control to hot", Tree: d})
		}
	}
	var png, html bytes.Buffer
	if err := flame.PNG(&png, main, opt); err != nil {
		return fmt.Errorf("draw picture: %w", err)
	}
	opt.Zoom = "" // a page is zoomed by hand
	if err := flame.Page(&html, tabs, opt); err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	if err := p.Store.PutBlob(id, BlobFlame, html.Bytes()); err != nil {
		return err
	}
	return p.Store.PutBlob(id, BlobPicture, png.Bytes())
}

// subtitle names what the picture shows: service, pods, how much of what.
func subtitle(r *analysis.Report, main *analysis.Tree) string {
	if main.Kind != string(analysis.KindCPU) {
		return fmt.Sprintf("%s, %s profile", r.Service, main.Kind)
	}
	hot := 0
	for _, pod := range r.Pods {
		if !pod.Control {
			hot++
		}
	}
	pods := "1 pod"
	if hot != 1 {
		pods = fmt.Sprintf("%d pods", hot)
	}
	return fmt.Sprintf("%s, %s, %s of CPU profile, %d samples", r.Service, pods, r.Window.Round(1e9), r.Samples)
}
