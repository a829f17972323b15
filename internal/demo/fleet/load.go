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

// mix is the parts of requests by route, out of 100.
var mix = []struct {
	route string
	parts int
}{{"GET /live/list", 34}, {"GET /gift/list", 30}, {"GET /user/{id}", 18}, {"POST /chat", 18}}

// Load drives the fleet with requests. The first pod's rate is steered until
// it uses about HotCores, and the others get small, fixed rates: the demo is
// the same on a fast machine and on a slow one, and leaves CPU for profbot.
type Load struct {
	fleet *Fleet
	cores float64
	stats [8]struct{ requests, errors atomic.Int64 } // by index of mix
}

// NewLoad returns a load generator. hotCores is what the first pod is steered
// to use, in cores; 0 means 0.8.
func NewLoad(f *Fleet, hotCores float64) *Load {
	if hotCores == 0 {
		hotCores = 0.8
	}
	return &Load{fleet: f, cores: hotCores}
}

const (
	workersPerPod = 6 // requests in flight to one pod: the load is bounded whatever the pods do
	coolRate      = 25
	firstRate     = 300
	maxRate       = 20_000
)

// Run sends requests until ctx ends, and returns when the last worker has.
func (l *Load) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for i, p := range l.fleet.pods {
		limit := rate.NewLimiter(coolRate, 4)
		if i == 0 {
			limit.SetLimit(firstRate)
			wg.Go(func() { l.steer(ctx, p.Name, limit) })
		}
		for w := range workersPerPod {
			wg.Go(func() { l.work(ctx, p.API, limit, rand.New(rand.NewPCG(uint64(i), uint64(w)))) })
		}
	}
	wg.Wait()
}

// steer moves the rate towards the one at which the pod uses the wanted cores.
func (l *Load) steer(ctx context.Context, pod string, limit *rate.Limiter) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		cores := l.fleet.recent(pod)
		if cores <= 0.01 {
			continue
		}
		factor := min(1.5, max(0.7, l.cores/cores))
		limit.SetLimit(min(maxRate, max(50, limit.Limit()*rate.Limit(factor))))
	}
}

// recent is a pod's CPU since the last but one look, which follows the rate
// faster than Loads.
func (f *Fleet) recent(pod string) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	us := f.used[pod]
	if len(us) < 3 {
		return 0
	}
	a, b := us[len(us)-3], us[len(us)-1]
	return (b.cpu - a.cpu) / b.at.Sub(a.at).Seconds()
}

func (l *Load) work(ctx context.Context, api string, limit *rate.Limiter, r *rand.Rand) {
	body := chatBody(r)
	for limit.Wait(ctx) == nil {
		n := r.IntN(100)
		i := 0
		for n -= mix[i].parts; n >= 0; n -= mix[i].parts {
			i++
		}
		err := l.request(ctx, api, i, r, body)
		if ctx.Err() != nil {
			return
		}
		l.stats[i].requests.Add(1)
		if err != nil {
			l.stats[i].errors.Add(1)
		}
	}
}

func (l *Load) request(ctx context.Context, api string, i int, r *rand.Rand, chat []byte) error {
	method, path, body := http.MethodGet, "/live/list", io.Reader(nil)
	switch i {
	case 1:
		path = "/gift/list"
	case 2:
		path = fmt.Sprintf("/user/%d", r.IntN(1e6))
	case 3:
		method, path, body = http.MethodPost, "/chat", bytes.NewReader(chat)
	}
	req, err := http.NewRequestWithContext(ctx, method, api+path, body)
	if err != nil {
		return err
	}
	resp, err := l.fleet.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}

// chatBody is a batch of chat messages of about 30 KB.
func chatBody(r *rand.Rand) []byte {
	type message struct {
		User int64    `json:"user"`
		Text string   `json:"text"`
		At   int64    `json:"at"`
		Tags []string `json:"tags"`
	}
	var post struct {
		Room     int64     `json:"room"`
		Messages []message `json:"messages"`
	}
	for i := range 220 {
		post.Messages = append(post.Messages, message{r.Int64N(1e9), fmt.Sprintf("what a show tonight, number %d, greetings to everybody who watches", i), 1795348800000, []string{"vip", "fan"}})
	}
	b, err := json.Marshal(post)
	if err != nil {
		panic(err) // a struct of plain fields always encodes
	}
	return b
}

// Count is what was sent to one route.
type Count struct {
	Route            string
	Requests, Errors int64
}

// Stats lists the requests so far by route, to all pods.
func (l *Load) Stats() []Count {
	var out []Count
	for i, m := range mix {
		out = append(out, Count{m.route, l.stats[i].requests.Load(), l.stats[i].errors.Load()})
	}
	return out
}
