package fleet

import (
	"context"
	"time"
)

// A pod's load is the mean over loadWindow, from its CPU time read every
// watchEvery: long enough to be steady, short enough to show a change of
// traffic while somebody watches.
const (
	watchEvery = 500 * time.Millisecond
	loadWindow = 5 * time.Second
)

// usage is what a pod has used at one moment.
type usage struct {
	at     time.Time
	cpu    float64 // seconds since the process began
	memory float64 // bytes
}

// cores is the mean CPU between two moments.
func cores(from, to usage) float64 {
	return (to.cpu - from.cpu) / to.at.Sub(from.at).Seconds()
}

// watchCPU asks a pod for its CPU time until ctx ends.
func (f *Fleet) watchCPU(ctx context.Context, p Pod) {
	address := p.Control + "/cpu"
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	told := false
	for {
		var v struct {
			CPU    float64 `json:"cpu_seconds"`
			Memory float64 `json:"memory_bytes"`
		}
		err := f.get(ctx, address, &v)
		switch {
		case err == nil:
			f.note(p.Name, usage{time.Now(), v.CPU, v.Memory})
			told = false
		case ctx.Err() == nil && !told: // once, not twice a second
			f.log.Warn("pod does not tell its CPU time", "pod", p.Name, "error", err)
			told = true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Fleet) note(pod string, u usage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	us := append(f.used[pod], u)
	for len(us) > 2 && u.at.Sub(us[1].at) >= loadWindow {
		us = us[1:]
	}
	f.used[pod] = us
}

// Loads is each pod's mean CPU over the last 5 s, in cores, as the operating
// system counts it. A pod is missing until it was read twice.
func (f *Fleet) Loads() map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]float64{}
	for pod, us := range f.used {
		if len(us) > 1 {
			out[pod] = cores(us[0], us[len(us)-1])
		}
	}
	return out
}

// Memory is what each pod has from the operating system, in bytes.
func (f *Fleet) Memory() map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]float64{}
	for pod, us := range f.used {
		if len(us) > 0 {
			out[pod] = us[len(us)-1].memory
		}
	}
	return out
}

// recent is a pod's CPU over about the last second, which follows a change of
// traffic faster than Loads, and when it was read. The time is zero as long
// as too little was read.
func (f *Fleet) recent(pod string) (float64, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	us := f.used[pod]
	if len(us) < 3 {
		return 0, time.Time{}
	}
	last := us[len(us)-1]
	return cores(us[len(us)-3], last), last.at
}
