package kube

import "time"

// Counts is how many pods of each service may be profiled.
func (f *Finder) Counts() map[string]int {
	n := map[string]int{}
	for _, r := range f.pods.of("") {
		if r.target() && f.settings(r, "").Refusal == "" {
			n[r.service]++
		}
	}
	return n
}

// Heard is until when what is known is known to be right: now, or the moment
// since which the cluster has not answered. It is zero before the first list.
func (f *Finder) Heard() time.Time {
	now := time.Now()
	heard := now
	for _, s := range f.scopes {
		listed, age := s.age(now)
		if !listed {
			return time.Time{}
		}
		if at := now.Add(-age); at.Before(heard) {
			heard = at
		}
	}
	return heard
}
