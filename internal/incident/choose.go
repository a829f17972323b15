package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pick is one chosen pod.
type Pick struct {
	Target Target
	Pod    string // what it is called in the incident; see [NameOf]
	Role   Role
	Why    string // a few plain words
	Load   PodLoad
}

// Ask is what [Choose] is told beside the pods themselves.
type Ask struct {
	AlertPod string // the pod the alert names; "" for none
	// Namespace is the one the alert names: only pods there are chosen, if
	// there are any; see [Within]. "" for none.
	Namespace string
	Hot       int  // how many hot pods to take; below 1 means 1
	Control   bool // also take one cool pod to compare with
	// Measure is what makes a pod hot; "" means [MeasureCPU].
	Measure Measure
	// Metric names the loads in the explanation; "" means the measure's name.
	Metric string
	// NoLoads says in plain words why there are no loads; "" when there are.
	NoLoads string
}

// Choose picks the pods to profile: the one the alert names, else the hottest
// by load, else the first by name; with a control, the coolest of the others.
// The sentence says which and why, for the thread. Loads of pods that are not
// in pods are ignored: only known pods are ever dialled. Of pods with the same
// name and namespace, which an alert without an env may meet, the first counts.
func Choose(pods []Target, loads []PodLoad, ask Ask) ([]Pick, string) {
	if len(pods) == 0 {
		return nil, ""
	}
	metric := cmp.Or(ask.Metric, ask.Measure.name())
	var notes []string
	var order []Target
	in, says := Within(pods, ask.Namespace)
	if says != "" {
		notes = append(notes, says)
	}
	for _, t := range in {
		if slices.ContainsFunc(order, func(o Target) bool { return o.ID() == t.ID() }) {
			notes = append(notes, fmt.Sprintf("pod %q is known in several envs and the alert names none, so the first was taken", NameOf(t, pods)))
			continue
		}
		order = append(order, t)
	}
	loadOf, unclear := LoadsOf(pods, loads)
	unclear = slices.DeleteFunc(unclear, func(name string) bool {
		return !slices.ContainsFunc(order, func(t Target) bool { return t.Pod == name })
	})
	if len(unclear) > 0 {
		notes = append(notes, fmt.Sprintf("%s does not tell which of several pods named %s it is about, so their load is not known", metric, quoted(unclear)))
	}
	slices.SortFunc(order, hottest(loadOf, ask.Measure))
	load := func(t Target) string {
		if l, ok := loadOf[t.ID()]; ok {
			return ask.Measure.Text(l.Of(ask.Measure))
		}
		return "load unknown"
	}

	hot, all := max(ask.Hot, 1), len(order)
	named := slices.IndexFunc(order, func(t Target) bool { return t.Pod == ask.AlertPod })
	if ask.AlertPod != "" && named < 0 {
		notes = append(notes, fmt.Sprintf("the alert names pod %q, which is not a known pod of the service", ask.AlertPod))
	}
	known := slices.ContainsFunc(order, func(t Target) bool { _, ok := loadOf[t.ID()]; return ok })
	if !known && ask.NoLoads != "" {
		notes = append(notes, ask.NoLoads)
	} else if !known && len(unclear) == 0 {
		notes = append(notes, metric+" has no data for these pods")
	}

	var picks []Pick
	switch {
	case ask.AlertPod != "" && named >= 0:
		t := order[named]
		picks = append(picks, Pick{Target: t, Role: RoleHot, Why: "named by the alert, " + load(t)})
		order = slices.Delete(order, named, named+1)
		if slices.ContainsFunc(order, func(o Target) bool { return o.Pod == t.Pod }) {
			which := "first"
			if _, ok := loadOf[t.ID()]; ok {
				which = "hottest"
			}
			notes = append(notes, fmt.Sprintf("the alert names pod %q without its namespace, and several have one: the %s was taken", t.Pod, which))
		}
	default:
		n := min(hot, len(order))
		for i, t := range order[:n] {
			why := "first by name, " + load(t)
			if _, ok := loadOf[t.ID()]; ok {
				why = fmt.Sprintf("%s, %s of %d by %s", load(t), ordinal(i), all, metric)
			}
			picks = append(picks, Pick{Target: t, Role: RoleHot, Why: why})
		}
		order = order[n:]
	}
	if ask.Control && len(order) > 0 {
		// The coolest with a known load; without loads any other pod still
		// tells whether the pattern is the pod's or the code's.
		i := len(order) - 1
		for i > 0 && known {
			if _, ok := loadOf[order[i].ID()]; ok {
				break
			}
			i--
		}
		t := order[i]
		why := "another pod of the service, load unknown"
		if _, ok := loadOf[t.ID()]; ok {
			why = load(t) + ", the coolest of the others"
		}
		picks = append(picks, Pick{Target: t, Role: RoleControl, Why: why})
	}

	parts := make([]string, len(picks))
	for i, p := range picks {
		picks[i].Load, picks[i].Pod = loadOf[p.Target.ID()], NameOf(p.Target, pods)
		parts[i] = fmt.Sprintf("%s (%s: %s)", picks[i].Pod, p.Role, p.Why)
	}
	sentence := "chose " + strings.Join(parts, ", ")
	if notes = slices.Compact(notes); len(notes) > 0 {
		sentence += "; " + strings.Join(notes, "; ")
	}
	return picks, sentence
}

// quoted lists a few names.
func quoted(names []string) string {
	const most = 3
	var out []string
	for _, n := range names[:min(len(names), most)] {
		out = append(out, fmt.Sprintf("%q", n))
	}
	if more := len(names) - most; more > 0 {
		out = append(out, fmt.Sprintf("%d others", more))
	}
	return strings.Join(out, ", ")
}

// hottest is the order of choice: by load, pods without a load last, then by
// name.
func hottest(loads map[PodID]PodLoad, m Measure) func(a, b Target) int {
	return func(a, b Target) int {
		la, oka := loads[a.ID()]
		lb, okb := loads[b.ID()]
		if oka != okb {
			if oka {
				return -1
			}
			return 1
		}
		return cmp.Or(Hotter(la, lb, m), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Namespace, b.Namespace))
	}
}

// Hotter compares two loads: the hotter first, then by name.
func Hotter(a, b PodLoad, m Measure) int {
	return cmp.Or(cmp.Compare(b.Of(m), a.Of(m)), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Namespace, b.Namespace))
}

// Next is the pod to profile in place of one that could not be: the hottest of
// those that are not taken. ok is false when there is none.
func Next(pods []Target, loads []PodLoad, m Measure, taken func(Target) bool) (t Target, load PodLoad, ok bool) {
	free := slices.DeleteFunc(slices.Clone(pods), taken)
	if len(free) == 0 {
		return Target{}, PodLoad{}, false
	}
	loadOf, _ := LoadsOf(pods, loads)
	t = slices.MinFunc(free, hottest(loadOf, m))
	return t, loadOf[t.ID()], true
}

func ordinal(i int) string {
	switch i {
	case 0:
		return "hottest"
	case 1:
		return "second"
	case 2:
		return "third"
	}
	return fmt.Sprintf("%dth", i+1)
}
