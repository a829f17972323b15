package sfredis_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

// The environment of a process that a test starts: what it is to do, with
// which server, and its lease.
const (
	roleEnv  = "SFREDIS_TEST_ROLE"
	addrEnv  = "SFREDIS_TEST_ADDR"
	leaseEnv = "SFREDIS_TEST_LEASE"
)

// report is what a process says, a line each time.
type report struct {
	N     int
	Stats sfcache.Stats
}

// play is the main function of such a process. Its loader counts in Redis, and
// waits there for the test's leave.
func play(role string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lease, err := time.ParseDuration(os.Getenv(leaseEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	c := redis.NewClient(&redis.Options{Addr: os.Getenv(addrEnv), ContextTimeoutEnabled: true})
	defer c.Close()
	cache, err := sfcache.New(sfcache.Config[item]{
		Name: "items", TTL: time.Minute, RemoteTimeout: 5 * time.Second, LoadTimeout: time.Minute, Lease: lease,
		Remote: sfredis.New(c, sfredis.Options{}),
		Load: func(ctx context.Context, _ string) (item, error) {
			n, err := c.Incr(ctx, "loads").Result()
			if err == nil && role == "load" {
				err = c.BLPop(ctx, 0, "leave").Err()
			}
			return item{int(n)}, err
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer cache.Close()
	if role == "follow" { // what it gets before it listens, it forgets
		within(30*time.Second, func() bool { return c.PubSubNumSub(ctx, "sfcache").Val()["sfcache"] > 0 })
	}
	say := func() bool {
		v, err := cache.Get(ctx, "hot")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return false
		}
		return json.NewEncoder(os.Stdout).Encode(report{v.N, cache.Stats()}) == nil
	}
	if !say() {
		return 1
	}
	if role == "follow" {
		if !within(30*time.Second, func() bool { return cache.Stats().Invalidations > 0 }) || !say() {
			return 1
		}
	}
	return 0
}

// process is one that a test started.
type process struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startProcess(t *testing.T, role string, s *redistest.Server, lease time.Duration) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleEnv+"="+role, addrEnv+"="+s.Addr, leaseEnv+"="+lease.String())
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

func (p *process) next(t *testing.T) (r report) {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("a process ended: %v", p.cmd.Wait())
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFourProcesses has four processes want one cold key at once.
func TestFourProcesses(t *testing.T) {
	for _, lease := range []time.Duration{30 * time.Second, 0} {
		t.Run("lease "+lease.String(), func(t *testing.T) {
			s := redistest.Start(t)
			c := client(t, s)
			var all []*process
			for range 4 {
				all = append(all, startProcess(t, "load", s, lease))
			}
			if lease > 0 {
				// With the key's one loader at work the others can only be asking.
				eventually(t, "all processes have asked, and ask again", func() bool {
					return c.PubSubNumSub(t.Context(), "sfcache").Val()["sfcache"] == 4 && calls(t, c, "evalsha") > 40
				})
			} else {
				eventually(t, "all processes load", func() bool { n, _ := c.Get(t.Context(), "loads").Int(); return n == 4 })
			}
			if err := c.RPush(t.Context(), "leave", 1, 2, 3, 4).Err(); err != nil {
				t.Fatal(err)
			}
			var sum sfcache.Stats
			for _, p := range all {
				r := p.next(t)
				if lease > 0 && r.N != 1 {
					t.Errorf("a process got the value of load %d", r.N)
				}
				sum.Loads += r.Stats.Loads
				sum.Leases += r.Stats.Leases
				sum.LeaseWaits += r.Stats.LeaseWaits
				sum.RemoteHits += r.Stats.RemoteHits
				sum.RemoteErrors += r.Stats.RemoteErrors
			}
			want := sfcache.Stats{Loads: 1, Leases: 1, LeaseWaits: 3, RemoteHits: 3}
			if lease == 0 {
				want = sfcache.Stats{Loads: 4}
			}
			if sum != want {
				t.Errorf("together they counted %+v, want %+v", sum, want)
			}
		})
	}
}

// TestHolderKilled kills the process that holds the lease: another one loads
// when the lease has run out.
func TestHolderKilled(t *testing.T) {
	s := redistest.Start(t)
	c := client(t, s)
	const lease = time.Second
	holder := startProcess(t, "load", s, lease)
	eventually(t, "the process loads", func() bool { n, _ := c.Get(t.Context(), "loads").Int(); return n == 1 })
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{
		Lease: lease, Load: func(context.Context, string) (item, error) { return item{99}, nil },
	})
	// The lease counts from now, so that the cache comes in time to wait for it.
	if err := c.PExpire(t.Context(), "{items:hot}:fence", lease).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got := make(chan int)
	go func() { v, _ := cache.Get(context.WithoutCancel(t.Context()), "hot"); got <- v.N }()
	eventually(t, "the cache waits", func() bool { return cache.Stats().LeaseWaits == 1 })
	holder.cmd.Process.Kill()
	if n := <-got; n != 99 {
		t.Errorf("got %d, want this process's own load", n)
	}
	if took := time.Since(began); took < lease-10*time.Millisecond {
		t.Errorf("after %s, within the lease", took)
	}
	if st := cache.Stats(); st.Loads != 1 || st.Leases != 1 || st.RemoteErrors != 0 {
		t.Errorf("%+v", st)
	}
}

// TestInvalidationOfAProcess changes a value that another process holds.
func TestInvalidationOfAProcess(t *testing.T) {
	s := redistest.Start(t)
	c := client(t, s)
	p := startProcess(t, "follow", s, 0)
	if r := p.next(t); r.N != 1 {
		t.Fatalf("the process got %d first, want 1", r.N)
	}
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{})
	if err := cache.Set(t.Context(), "hot", item{42}); err != nil {
		t.Fatal(err)
	}
	if r := p.next(t); r.N != 42 || r.Stats.Invalidations != 1 || r.Stats.Loads != 1 {
		t.Errorf("then it got %d, with %+v; want 42 by one message and no more loads", r.N, r.Stats)
	}
}
