package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// childEnv makes a process of this program one of those of the lease scenario;
// its value is a child in JSON.
const childEnv = "SFCACHE_BENCH_CHILD"

type child struct {
	Contender string `json:"contender"`
	Redis     string `json:"redis"`
	DB        int    `json:"db"`
	Size      int    `json:"size"`
}

// lease lets several processes, with 64 callers each, want one absent key at
// the same moment. Loads are those of all of them together; sfcache has its
// lease on. Nothing is timed but the whole.
func lease(ctx context.Context, r *runner) error {
	const size = 50_000
	db := 0
	return r.run(ctx, group{
		scenario: "lease", name: fmt.Sprintf("%s/%d processes", sizeName(size), r.processes), redis: true, rounds: min(r.rounds, 3), apart: true,
		takes: func(c contender) bool {
			return slices.Contains([]string{"sfcache", "sfcache/strict", "pattern", "go-redis/cache-json", "otter", "sturdyc"}, c.name)
		},
		env: func() (*env, error) {
			e, err := newEnv(size)
			if err == nil {
				e.keys, e.entries = 1, 10
			}
			return e, err
		},
		prepare: func(context.Context, *env, lister, contender) error { return nil },
		measure: func(ctx context.Context, e *env, _ lister, c contender) (Sample, error) {
			db = e.redis.Options().DB
			loads, took, err := r.family(ctx, child{c.name, r.server.addr, db, size})
			return Sample{Ops: int64(r.processes * familyCallers), Wall: float64(took), Loads: float64(loads)}, err
		},
	})
}

const familyCallers = 64

// family runs the processes and adds their loads up.
func (r *runner) family(ctx context.Context, c child) (loads int64, took time.Duration, err error) {
	arg, err := json.Marshal(c)
	if err != nil {
		return 0, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	type process struct {
		cmd *exec.Cmd
		in  interface{ Close() error }
		out *bufio.Scanner
	}
	var all []process
	defer func() {
		cancel() // ends those that are still there
		for _, p := range all {
			err = errors.Join(err, p.cmd.Wait())
		}
	}()
	for range r.processes {
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), childEnv+"="+string(arg))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return 0, 0, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return 0, 0, err
		}
		if err := cmd.Start(); err != nil {
			return 0, 0, err
		}
		p := process{cmd, in, bufio.NewScanner(out)}
		all = append(all, p)
		if !p.out.Scan() { // it says that it is ready
			return 0, 0, errors.New("a process ended early")
		}
	}
	at := time.Now()
	for _, p := range all {
		_ = p.in.Close() // now
	}
	for _, p := range all {
		var n int64
		if !p.out.Scan() {
			return 0, 0, errors.New("a process gave no count")
		}
		if _, err := fmt.Sscan(p.out.Text(), &n); err != nil {
			return 0, 0, err
		}
		loads += n
	}
	took = time.Since(at)
	for _, p := range all {
		err = errors.Join(err, p.cmd.Wait())
	}
	all = nil
	return loads, took, err
}

// beChild is the life of such a process: it makes its contender, says so, waits
// for the end of its input, lets its callers loose and prints its loads.
func beChild(ctx context.Context, arg string) error {
	var c child
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return err
	}
	e, err := newEnv(c.Size)
	if err != nil {
		return err
	}
	e.keys, e.entries, e.delay, e.lease = 1, 10, 50*time.Millisecond, 5*time.Second
	e.redis = newClient(c.Redis, c.DB)
	defer func() { _ = e.redis.Close() }()
	i := slices.IndexFunc(contenders, func(o contender) bool { return o.name == c.Contender })
	if i < 0 {
		return fmt.Errorf("no contender %q", c.Contender)
	}
	l, err := contenders[i].open(e)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	fmt.Println("ready")
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadByte(); err != nil {
			break
		}
	}
	orders := [][]string{{keyName(0)}}
	if _, err := closedLoop(ctx, e, l, work{goroutines: familyCallers, keys: orders, ops: familyCallers}); err != nil {
		return err
	}
	fmt.Println(e.loads.Load())
	return nil
}
