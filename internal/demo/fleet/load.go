package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// mix is the parts of requests by route, out of 100. The routes that decode
// nothing, or another body each time, get enough to be seen in a profile.
var mix = [...]struct {
	route string
	parts int
}{{"GET /live/list", 34}, {"GET /gift/list", 30}, {"GET /user/{id}", 18}, {"POST /chat", 18}}

// pick chooses a route by its part of the mix.
func pick(r *rand.Rand) int {
	n := r.IntN(100)
	for i, m := range mix {
		if n -= m.parts; n < 0 {
			return i
		}
	}
	panic("unreachable: the parts of the mix add up to 100")
}

// Load drives the fleet with requests. The first pod's rate is steered until
// it uses the wanted cores, and each other pod gets 8 % of that rate: the demo
// is the same on a fast machine and on a slow one, and leaves CPU for profbot.
type Load struct {
	fleet *Fleet
	cores float64
	stats [len(mix)]struct {
		requests, errors atomic.Int64
		took             latencies
	}
	sent []atomic.Int64 // requests, by pod
	held atomic.Bool    // the rates stay as they are

	mu    sync.Mutex // protects rates
	rates [][]sent   // of the last seconds, by pod
}

// sent is how many requests a pod had got at one moment.
type sent struct {
	at       time.Time
	requests int64
}

// NewLoad returns a load generator. hotCores is what the first pod is steered
// to use, in cores; 0 means 0.8.
func NewLoad(f *Fleet, hotCores float64) *Load {
	if hotCores == 0 {
		hotCores = 0.8
	}
	return &Load{fleet: f, cores: hotCores, sent: make([]atomic.Int64, len(f.pods)), rates: make([][]sent, len(f.pods))}
}

// Hold stops steering: each pod goes on to get the rate that it got over the
// last seconds, whatever CPU it uses for it.
func (l *Load) Hold() { l.held.Store(true) }

// Rates is each pod's mean rate over the last 5 s, in requests a second. A pod
// is missing until it was counted twice.
func (l *Load) Rates() map[string]float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]float64{}
	for i, s := range l.rates {
		if len(s) > 1 {
			first, last := s[0], s[len(s)-1]
			out[l.fleet.pods[i].Name] = float64(last.requests-first.requests) / last.at.Sub(first.at).Seconds()
		}
	}
	return out
}

// count takes a reading for Rates.
func (l *Load) count() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for i := range l.rates {
		s := append(l.rates[i], sent{now, l.sent[i].Load()})
		for len(s) > 2 && now.Sub(s[1].at) >= loadWindow {
			s = s[1:]
		}
		l.rates[i] = s
	}
}

const (
	workersPerPod = 6     // requests in flight to one pod: the load is bounded whatever the pods do
	firstRate     = 300.0 // requests per second, until the first pod's CPU is known
	// minRate is what a machine that stalled begins again with: a tenth of a
	// core or so, from where it is hot again within seconds.
	minRate  = 100.0
	coolPart = 0.08
)

// Run sends requests until ctx ends, and returns when the last worker has.
func (l *Load) Run(ctx context.Context) {
	limits := make([]*rate.Limiter, len(l.fleet.pods)) // by pod, the hot one first
	for i := range limits {
		limits[i] = rate.NewLimiter(0, 4)
	}
	setRates(limits, firstRate)
	var wg sync.WaitGroup
	wg.Go(func() { l.steer(ctx, limits) })
	for i, p := range l.fleet.pods {
		for w := range workersPerPod {
			r := rand.New(rand.NewPCG(uint64(i), uint64(w)))
			wg.Go(func() { l.work(ctx, p.API, limits[i], r, &l.sent[i]) })
		}
	}
	wg.Wait()
}

func setRates(limits []*rate.Limiter, hot float64) {
	for i, limit := range limits {
		if i == 0 {
			limit.SetLimit(rate.Limit(hot))
		} else {
			limit.SetLimit(rate.Limit(hot * coolPart))
		}
	}
}

// steer sets the rates so that the first pod uses the wanted cores, until ctx
// ends.
func (l *Load) steer(ctx context.Context, limits []*rate.Limiter) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var at time.Time // of the last reading of CPU that was followed
	var before int64
	began, steering := time.Now(), true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.count()
		if l.held.Load() {
			if steering {
				steering = false
				setRates(limits, l.Rates()[l.fleet.pods[0].Name])
			}
			continue
		}
		now, all := time.Now(), l.sent[0].Load()
		perSecond := float64(all-before) / now.Sub(began).Seconds()
		began, before = now, all
		used, read := l.fleet.recent(l.fleet.pods[0].Name)
		if !read.After(at) {
			continue // nothing new to follow
		}
		at = read
		setRates(limits, nextRate(perSecond, used, l.cores))
	}
}

// nextRate is the rate at which a pod that used some cores at perSecond should
// use the wanted ones. It follows from what was really sent, not from the rate
// that was allowed: on a machine too busy to keep up, the allowed rate would
// climb without effect and break loose when the machine is free again.
func nextRate(perSecond, used, want float64) float64 {
	factor := 1.5
	if used > want/1.5 {
		factor = max(0.5, want/used)
	}
	return max(minRate, perSecond*factor)
}

// work sends one request after the other, each when limit allows it, and
// counts them in sent.
func (l *Load) work(ctx context.Context, api string, limit *rate.Limiter, r *rand.Rand, sent *atomic.Int64) {
	messages := chatMessages(r)
	for limit.Wait(ctx) == nil {
		route := pick(r)
		began := time.Now()
		err := l.request(ctx, api, route, r, messages)
		if ctx.Err() != nil {
			return // cut off by the end, neither answered nor failed
		}
		sent.Add(1)
		s := &l.stats[route]
		s.took.add(time.Since(began))
		s.requests.Add(1)
		if err != nil && s.errors.Add(1) == 1 {
			l.fleet.log.Warn("first failed request of a route", "route", mix[route].route, "error", err)
		}
	}
}

func (l *Load) request(ctx context.Context, api string, route int, r *rand.Rand, messages []byte) error {
	method, path, body := http.MethodGet, "/live/list", io.Reader(nil)
	switch route {
	case 1:
		path = "/gift/list"
	case 2:
		path = fmt.Sprintf("/user/%d", r.IntN(1e6))
	case 3:
		method, path = http.MethodPost, "/chat"
		body = bytes.NewReader(fmt.Appendf(nil, `{"room":%d,"at":%d,"messages":%s}`, r.IntN(1e4), r.Int64(), messages))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, api+path, body)
	if err != nil {
		return err
	}
	resp, err := l.fleet.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}

// chatMessages is a batch of chat messages of about 30 KB: a busy room's, with
// which the route uses enough CPU to be judged.
func chatMessages(r *rand.Rand) []byte {
	var posts []post
	for i := range 220 {
		posts = append(posts, post{
			User: r.Int64N(1e9), At: 1795348800000, Tags: []string{"vip", "fan"},
			Text: fmt.Sprintf("what a show tonight, number %d, greetings to everybody who watches", i),
		})
	}
	b, err := json.Marshal(posts)
	if err != nil {
		panic(err) // a struct of plain fields always encodes
	}
	return b
}

// Count is what was sent to one route, of all pods.
type Count struct {
	Route    string
	Requests int64 // answered or failed
	Errors   int64 // the failed among them
	// P50 and P99 are quantiles of the time from sending a request to the end
	// of its answer, up to 15 % too long; 0 without requests.
	P50, P99 time.Duration
}

// Stats lists the requests so far by route.
func (l *Load) Stats() []Count {
	var out []Count
	for i, m := range mix {
		s := &l.stats[i]
		out = append(out, Count{m.route, s.requests.Load(), s.errors.Load(), s.took.quantile(0.5), s.took.quantile(0.99)})
	}
	return out
}
