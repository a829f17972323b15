package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"
	"time"
)

// settings are how much is measured.
type settings struct {
	sizes      []int // of the JSON
	keys       []keySet
	goroutines []int
	rounds     int

	hot       time.Duration // of one contender in one round
	paced     time.Duration
	churn     time.Duration
	stampedes int // in a row
	zipfKeys  int
	zipfOps   int
	gcEntries int
	gcCycles  int
	heldBytes int64
	processes int
}

// keySet is how many keys there are and in which order they come.
type keySet struct {
	name string
	n    int
	zipf bool
}

var (
	oneKey     = keySet{"1 key", 1, false}
	manyKeys   = keySet{"100 keys", 100, false}
	skewedKeys = keySet{"zipf", 200, true}
)

var (
	full = settings{
		sizes: []int{4000, 50_000, 500_000}, keys: []keySet{oneKey, manyKeys, skewedKeys}, goroutines: []int{1, 16, 256}, rounds: 5,
		hot: 30 * time.Millisecond, paced: time.Second, churn: 2500 * time.Millisecond, stampedes: 4,
		zipfKeys: 8000, zipfOps: 16_000, gcEntries: 1_000_000, gcCycles: 200, heldBytes: 64 << 20, processes: 4,
	}
	quick = settings{
		sizes: []int{4000, 50_000}, keys: []keySet{oneKey, manyKeys}, goroutines: []int{1, 256}, rounds: 3,
		hot: 10 * time.Millisecond, paced: 150 * time.Millisecond, churn: 0, stampedes: 2,
		zipfKeys: 4000, zipfOps: 2000, gcEntries: 50_000, gcCycles: 30, heldBytes: 16 << 20, processes: 4,
	}
)

// runner runs scenarios and collects what they measure.
type runner struct {
	settings
	server *server
	cells  *regexp.Regexp // which cells to run, by "scenario/case"
	which  *regexp.Regexp // which contenders, by name
	out    io.Writer
	report Report
}

// scenario measures one thing, in one or more groups of cells.
type scenario struct {
	name string
	run  func(context.Context, *runner) error
}

var scenarios = []scenario{
	{"hot", hot},
	{"cold", cold},
	{"paced", paced},
	{"churn", churn},
	{"zipf", zipf},
	{"gc", gc},
	{"held", held},
	{"lease", lease},
}

// group is a set of contenders with the same work.
type group struct {
	scenario string
	name     string // the case, such as "4KB/100 keys/G16"
	env      func() (*env, error)
	redis    bool
	// takes says which contenders take part; nil: all.
	takes func(contender) bool
	// prepare brings a contender into the state that is measured. nil: every
	// key once, checked.
	prepare func(context.Context, *env, lister, contender) error
	measure func(context.Context, *env, lister, contender) (Sample, error)
	// apart opens each contender alone, in each round, and closes it after it.
	apart  bool
	rounds int // 0: the runner's
}

// entrant is a contender that is open.
type entrant struct {
	contender
	e *env
	lister
}

// run measures all contenders of g in turn, so often as there are rounds, and
// each round begins with another one: what else the machine does meets all.
func (r *runner) run(ctx context.Context, g group) error {
	if !r.cells.MatchString(g.scenario + "/" + g.name) {
		return nil
	}
	var in []contender
	for _, c := range contenders {
		if r.which.MatchString(c.name) && (c.only == "" || c.only == g.scenario) && (g.takes == nil || g.takes(c)) {
			in = append(in, c)
		}
	}
	if len(in) == 0 {
		return nil
	}
	rounds := r.rounds
	if g.rounds > 0 {
		rounds = g.rounds
	}
	samples := make([][]Sample, len(in))
	began := time.Now()
	var err error
	if g.apart {
		err = r.inTurn(ctx, g, in, rounds, samples)
	} else {
		err = r.together(ctx, g, in, rounds, samples)
	}
	if err != nil {
		return fmt.Errorf("%s/%s: %w", g.scenario, g.name, err)
	}
	r.report.add(g, in, samples)
	r.report.printLast(r.out)
	fmt.Fprintf(r.out, "measured in %.1f s\n", time.Since(began).Seconds())
	return nil
}

// together opens all contenders once.
func (r *runner) together(ctx context.Context, g group, in []contender, rounds int, samples [][]Sample) (err error) {
	all := make([]*entrant, len(in))
	defer func() {
		for _, a := range all {
			if a != nil {
				err = errors.Join(err, a.Close())
			}
		}
		err = errors.Join(err, r.clean(ctx))
	}()
	for i, c := range in {
		if all[i], err = r.open(ctx, g, c, i); err != nil {
			return err
		}
	}
	// All contenders' caches are alive at once, and would let each other's
	// garbage lie much longer than one of them alone. So the collector runs as
	// often as it would with a single one.
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	alone := max(uint64(all[0].e.localBytes()), 64<<20)
	defer debug.SetGCPercent(debug.SetGCPercent(int(min(max(100*alone/mem.HeapAlloc, 2), 100))))
	for round := range rounds {
		for j := range all {
			i := (j + round) % len(all)
			s, err := g.measure(ctx, all[i].e, all[i].lister, in[i])
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", in[i].name, err)
			}
			samples[i] = append(samples[i], s)
		}
	}
	return nil
}

// inTurn opens a contender when it is its turn.
func (r *runner) inTurn(ctx context.Context, g group, in []contender, rounds int, samples [][]Sample) error {
	for round := range rounds {
		for j := range in {
			i := (j + round) % len(in)
			a, err := r.open(ctx, g, in[i], i)
			if err != nil {
				return err
			}
			s, err := g.measure(ctx, a.e, a.lister, in[i])
			if err = errors.Join(err, a.Close(), r.clean(ctx)); err != nil {
				return fmt.Errorf("%s: %w", in[i].name, err)
			}
			samples[i] = append(samples[i], s)
		}
	}
	return nil
}

// open makes a contender and prepares it.
func (r *runner) open(ctx context.Context, g group, c contender, db int) (*entrant, error) {
	e, err := g.env()
	if err != nil {
		return nil, err
	}
	if g.redis {
		e.redis = r.server.client(1 + db)
	}
	l, err := c.open(e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	prepare := g.prepare
	if prepare == nil {
		prepare = warm
	}
	if err := prepare(ctx, e, l, c); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return &entrant{c, e, l}, nil
}

// clean gives memory back, here and in Redis.
func (r *runner) clean(ctx context.Context) error {
	debug.FreeOSMemory()
	if r.server == nil {
		return nil
	}
	return r.server.flush(ctx)
}

// warm gets every key until a pass comes from the process alone, and looks
// whether the values are right.
func warm(ctx context.Context, e *env, l lister, c contender) error {
	for range 50 {
		before := e.loads.Load() + e.reads.Load()
		for i := range e.keys {
			v, err := l.Get(ctx, keyName(i))
			if err != nil {
				return err
			}
			if key := keyName(i); c.kind != floor && !v.equal(key, e.value) {
				return fmt.Errorf("a wrong value for %q", key)
			}
		}
		if e.loads.Load()+e.reads.Load() == before || c.name == "redis" {
			return nil
		}
		time.Sleep(time.Millisecond) // some store what they have loaded a little later
	}
	return fmt.Errorf("%d keys do not stay, with room for %d", e.keys, e.entries)
}
