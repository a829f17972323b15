package collector

import (
	"cmp"
	"slices"
	"time"
)

// State is what a Collector does at the moment, for status pages.
type State struct {
	CPU      Load           // CPU profiles, and the allocs profiles before them
	Other    Load           // all other kinds
	Services []ServiceState // those with pulls that run or wait, or that have failed; by name
}

// Load is how full a budget is.
type Load struct{ Running, Waiting, Most int }

// ServiceState is one service and env.
type ServiceState struct {
	Service, Env     string
	Running, Waiting int
	Failures         int       // in a row; 0 when the last pull was answered
	Last             string    // the last of them
	Resting          time.Time // until when it is left alone; zero when it is not
}

// State returns what the Collector does at the moment.
func (c *Collector) State() State {
	all := map[service]*ServiceState{}
	get := func(s service) *ServiceState {
		if all[s] == nil {
			all[s] = &ServiceState{Service: s.name, Env: s.env}
		}
		return all[s]
	}
	var st State
	for _, lane := range []struct {
		load   *Load
		budget *budget
	}{{&st.CPU, c.turns.budget}, {&st.Other, c.quick}} {
		lane.load.Most = c.opt.Simultaneous
		for s, n := range lane.budget.counts() {
			lane.load.Running += n[0]
			lane.load.Waiting += n[1]
			get(s).Running += n[0]
			get(s).Waiting += n[1]
		}
	}
	c.breakers.mu.Lock()
	for s, b := range c.breakers.services {
		o := get(s)
		o.Failures, o.Last, o.Resting = b.row, b.last, b.until
	}
	c.breakers.mu.Unlock()
	for _, s := range all {
		st.Services = append(st.Services, *s)
	}
	slices.SortFunc(st.Services, func(a, b ServiceState) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Env, b.Env))
	})
	return st
}

// Running is how many places for CPU profiles are taken.
func (c *Collector) Running() int { return c.State().CPU.Running }
