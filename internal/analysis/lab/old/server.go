package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/ioutil"
	"net/http"
	"runtime"
	"sort"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/coocood/freecache"
)

type feed struct {
	ID    string
	Items []item
}

type item struct {
	ID    int64
	Name  string
	Price float64
	Tags  []string
}

func newFeed(n int) feed {
	f := feed{ID: "7"}
	for i := 0; i < n; i++ {
		f.Items = append(f.Items, item{int64(i), fmt.Sprintf("streamer number %d with a name", i), float64(i) * 1.37, []string{"music", "talk"}})
	}
	return f
}

// meter sums the nanoseconds of an endpoint's segments.
type meter struct{ get, decode, app int64 }

type reading struct{ get, decode, app int64 }

type server struct {
	upstream string
	cache    *freecache.Cache
	meters   map[string]*meter
	still    []item
}

var (
	sources  = map[string]string{"gift": "cache (coocood/freecache)", "rank": "HTTP reply (ioutil.ReadAll then json.Unmarshal)", "user": "none", "chat": "request body"}
	handlers = map[string]string{"gift": `\(\*server\)\.gift(-fm)?$`, "rank": `\(\*server\)\.rank(-fm)?$`, "user": `\(\*server\)\.user(-fm)?$`, "chat": `\(\*server\)\.chat(-fm)?$`}
	markers  = map[string]string{"gift": "main.(*server).gift", "rank": "main.(*server).rank", "user": "main.(*server).user", "chat": "main.(*server).chat"}
)

func newServer(upstream string) (*server, error) {
	s := &server{upstream: upstream, cache: freecache.NewCache(64 << 20), meters: map[string]*meter{}, still: newFeed(25).Items}
	for e := range sources {
		s.meters[e] = &meter{}
	}
	b, err := json.Marshal(newFeed(25))
	if err != nil {
		return nil, err
	}
	return s, s.cache.Set([]byte("feed"), b, 0)
}

func (s *server) read() map[string]reading {
	out := map[string]reading{}
	for e, m := range s.meters {
		out[e] = reading{atomic.LoadInt64(&m.get), atomic.LoadInt64(&m.decode), atomic.LoadInt64(&m.app)}
	}
	return out
}

func (s *server) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/gift", s.gift)
	m.HandleFunc("/rank", s.rank)
	m.HandleFunc("/user", s.user)
	m.HandleFunc("/chat", s.chat)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Lab", "1")
		m.ServeHTTP(w, r)
	})
}

func (s *server) gift(w http.ResponseWriter, r *http.Request) {
	m, t := s.meters["gift"], begin()
	defer runtime.UnlockOSThread()
	b, err := s.cache.Get([]byte("feed"))
	t = lap(&m.get, t)
	if err == nil {
		var f feed
		err = json.Unmarshal(b, &f)
		t = lap(&m.decode, t)
		work(f.Items, 4)
		lap(&m.app, t)
	}
	reply(w, err)
}

func (s *server) rank(w http.ResponseWriter, r *http.Request) {
	m, t := s.meters["rank"], begin()
	defer runtime.UnlockOSThread()
	b, err := s.fetch()
	t = lap(&m.get, t)
	if err == nil {
		var f feed
		err = json.Unmarshal(b, &f)
		t = lap(&m.decode, t)
		work(f.Items, 4)
		lap(&m.app, t)
	}
	reply(w, err)
}

func (s *server) fetch() ([]byte, error) {
	resp, err := http.Get(s.upstream)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return ioutil.ReadAll(resp.Body)
}

func (s *server) user(w http.ResponseWriter, r *http.Request) {
	m, t := s.meters["user"], begin()
	defer runtime.UnlockOSThread()
	work(s.still, 8)
	lap(&m.app, t)
	reply(w, nil)
}

func (s *server) chat(w http.ResponseWriter, r *http.Request) {
	m, t := s.meters["chat"], begin()
	defer runtime.UnlockOSThread()
	var f feed
	err := json.NewDecoder(r.Body).Decode(&f)
	t = lap(&m.decode, t)
	if err == nil && len(f.Items) == 0 {
		err = errors.New("an empty message")
	}
	work(f.Items, 4)
	lap(&m.app, t)
	reply(w, err)
}

func reply(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte("{}"))
}

//go:noinline
func work(items []item, rounds int) {
	for r := 0; r < rounds; r++ {
		order := append([]item(nil), items...)
		sort.Slice(order, func(a, b int) bool { return score(order[a], r) < score(order[b], r) })
	}
}

//go:noinline
func score(it item, r int) uint32 {
	h := uint32(2166136261) + uint32(r)
	for i := 0; i < len(it.Name); i++ {
		h = (h ^ uint32(it.Name[i])) * 16777619
	}
	return h
}

func begin() int64 {
	runtime.LockOSThread()
	return now()
}

func lap(sum *int64, since int64) int64 {
	t := now()
	atomic.AddInt64(sum, t-since)
	return t
}

// threadCPU is CLOCK_THREAD_CPUTIME_ID of Linux.
const threadCPU = 3

func now() int64 {
	var t syscall.Timespec
	if _, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadCPU, uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		panic(e) // no such clock: nothing here means anything
	}
	return t.Nano()
}
