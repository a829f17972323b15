package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/coocood/freecache"
	"github.com/redis/go-redis/v9"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/profbot/profbot/internal/analysis/lab/backend"
	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/profbot/profbot/internal/analysis/lab/routers"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// stores runs the backend until its standard input closes.
func stores(args []string) error {
	f := flag.NewFlagSet("backend", flag.ExitOnError)
	codec := f.String("codec", "json", "of the values in Redis")
	_ = f.Parse(args)
	b, err := svc.Codecs[*codec].Marshal(svc.NewFeed(25))
	if err != nil {
		return err
	}
	a, err := backend.Run(b)
	if err != nil {
		return err
	}
	return announce(a)
}

// announce prints one line of JSON and waits for the parent to end.
func announce(v any) error {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		return err
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// running says where a server listens.
type running struct {
	Addr, Admin string
	Handlers    map[string]string
	NoShare     []string
}

// taken is what one profile window gave.
type taken struct {
	CPU, Allocs0, Allocs1, Goroutine []byte
	Before, After                    map[string]clock.Reading
	Wall, Process                    float64 // seconds
}

// serve runs the service on a router until its standard input closes.
func serve(args []string) error {
	f := flag.NewFlagSet("serve", flag.ExitOnError)
	router := f.String("router", "", "which")
	codec := f.String("codec", "json", "of the values in Redis")
	addrs := f.String("backend", "", "JSON of where the stores are")
	_ = f.Parse(args)
	var b backend.Addrs
	if err := json.Unmarshal([]byte(*addrs), &b); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	api, err := connect(b, *codec, dir)
	if err != nil {
		return err
	}
	s := routers.All[*router](api)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Both end with the process.
	go func() {
		if err := s.Serve(l); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			os.Exit(1)
		}
	}()
	go func() {
		_ = http.Serve(admin, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { take(api, w, r) }))
	}()
	return announce(running{l.Addr().String(), admin.Addr().String(), s.Handlers, s.NoShare})
}

// openDB makes a database with one feed; nil in a small build.
var openDB func(dir string, feed []byte) (*sql.DB, error)

// connect opens every store.
func connect(b backend.Addrs, codec, dir string) (*svc.API, error) {
	a := svc.New()
	a.Codec = svc.Codecs[codec]
	feed, err := json.Marshal(svc.NewFeed(25))
	if err != nil {
		return nil, err
	}
	a.Redis = redis.NewClient(&redis.Options{Addr: b.Redis, Protocol: 2})
	a.Mem = memcache.New(b.Memcached)
	a.Gifts = freecache.NewCache(64 << 20)
	if err := a.Gifts.Set([]byte("feed:7"), feed, 0); err != nil {
		return nil, err
	}
	a.HTTP, a.Upstream = &http.Client{}, "http://"+b.HTTP
	conn, err := grpc.NewClient(b.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	a.RPC = grpc_testing.NewTestServiceClient(conn)
	if openDB != nil {
		if a.DB, err = openDB(dir, feed); err != nil {
			return nil, err
		}
	}
	if a.Bolt, err = bolt.Open(filepath.Join(dir, "lab.bolt"), 0o600, nil); err != nil {
		return nil, err
	}
	return a, a.Bolt.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("feeds"))
		if err != nil {
			return err
		}
		return bucket.Put([]byte("7"), feed)
	})
}

// take profiles the server for as long as it is asked to.
func take(api *svc.API, w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	read := func() map[string]clock.Reading {
		m := map[string]clock.Reading{}
		for _, n := range svc.Endpoints {
			m[n] = api.Meter(n).Read()
		}
		return m
	}
	var t taken
	var cpu bytes.Buffer
	t.Allocs0 = snapshot("allocs")
	start, used := time.Now(), process()
	t.Before = read()
	if err := pprof.StartCPUProfile(&cpu); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	time.Sleep(d)
	t.After = read()
	pprof.StopCPUProfile()
	t.Wall, t.Process = time.Since(start).Seconds(), process()-used
	t.CPU, t.Allocs1, t.Goroutine = cpu.Bytes(), snapshot("allocs"), snapshot("goroutine")
	_ = json.NewEncoder(w).Encode(t)
}

func snapshot(name string) []byte {
	var b bytes.Buffer
	if err := pprof.Lookup(name).WriteTo(&b, 0); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// process is the CPU of this process so far, in seconds.
func process() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
