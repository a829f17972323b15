package incident

import (
	"fmt"
	"slices"
	"strings"
)

// PodID tells a pod from all others of a cluster: two namespaces may have pods
// of one name.
type PodID struct{ Namespace, Pod string } // Namespace is "" where it is not known

// ID is the target's name with its namespace.
func (t Target) ID() PodID { return PodID{t.Namespace, t.Pod} }

// NameOf is what a pod is called in an incident: by its name, and with its
// namespace before it where another one of the pods has the same name.
func NameOf(t Target, pods []Target) string {
	if t.Namespace != "" && slices.ContainsFunc(pods, func(o Target) bool { return o.Pod == t.Pod && o.Namespace != t.Namespace }) {
		return t.Namespace + "/" + t.Pod
	}
	return t.Pod
}

// Target is the pod of a capture as far as the capture knows it: by name and
// namespace, with what else tells it from another.
func (c Capture) Target() Target {
	name := c.Pod
	if c.Namespace != "" {
		name = strings.TrimPrefix(name, c.Namespace+"/")
	}
	return Target{Namespace: c.Namespace, Pod: name, UID: c.UID}
}

// Is tells whether a target has the name of the capture's pod. A namespace
// that is not known is any.
func (c Capture) Is(t Target) bool {
	of := c.Target()
	return of.Pod == t.Pod && (of.Namespace == t.Namespace || of.Namespace == "" || t.Namespace == "")
}

// Find is the capture's pod among those that are known now: the very one, or
// else the one that has its name by now.
func (c Capture) Find(pods []Target) (t Target, ok bool) {
	for _, o := range pods {
		switch {
		case !c.Is(o):
			continue
		case c.UID != "" && o.UID == c.UID:
			return o, true
		case !ok || o.Namespace == c.Namespace && t.Namespace != c.Namespace:
			t, ok = o, true
		}
	}
	return t, ok
}

// Within are the pods of the namespace that an alert names, and those of which
// no namespace is known. Where there are none it is all pods. says tells in
// plain words what was left out, or why nothing was; "" for nothing to tell.
func Within(pods []Target, namespace string) (in []Target, says string) {
	if namespace == "" {
		return pods, ""
	}
	for _, t := range pods {
		if t.Namespace == namespace || t.Namespace == "" {
			in = append(in, t)
		}
	}
	switch {
	case len(in) == 0 && len(pods) > 0:
		return pods, fmt.Sprintf("the alert names namespace %q, where no pod of the service is known", namespace)
	case len(in) < len(pods):
		says = fmt.Sprintf("only %d of its %d pods were looked at: those in namespace %q, which the alert names", len(in), len(pods), namespace)
	}
	return in, says
}

// LoadsOf tells which load is which pod's: by namespace and name, or by the
// name alone where the metric or the pod has no namespace and only one pod and
// one load have the name. unclear are the names of pods for which that cannot
// be told; they have no load then.
func LoadsOf(pods []Target, loads []PodLoad) (of map[PodID]PodLoad, unclear []string) {
	named := map[string][]PodLoad{}
	for _, l := range loads {
		named[l.Pod] = append(named[l.Pod], l)
	}
	ids := map[string]map[PodID]bool{}
	for _, t := range pods {
		if ids[t.Pod] == nil {
			ids[t.Pod] = map[PodID]bool{}
		}
		ids[t.Pod][t.ID()] = true
	}
	of = make(map[PodID]PodLoad, len(loads))
	for _, t := range pods {
		found := slices.DeleteFunc(slices.Clone(named[t.Pod]), func(l PodLoad) bool { return l.Namespace == "" || l.Namespace != t.Namespace })
		if len(found) == 0 {
			found = slices.DeleteFunc(slices.Clone(named[t.Pod]), func(l PodLoad) bool { return l.Namespace != "" && t.Namespace != "" })
			if len(found) > 1 || len(found) == 1 && len(ids[t.Pod]) > 1 {
				unclear = append(unclear, t.Pod)
				continue
			}
		}
		if len(found) > 0 {
			l := found[0]
			l.Namespace = t.Namespace
			of[t.ID()] = l
		}
	}
	slices.Sort(unclear)
	return of, slices.Compact(unclear)
}
