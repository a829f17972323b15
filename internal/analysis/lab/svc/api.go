// Package svc is a service with one endpoint for every way in which a handler
// comes by the bytes that it decodes. Routers only differ in how they reach it.
package svc

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/coocood/freecache"
	"github.com/redis/go-redis/v9"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
)

// API is the service.
type API struct {
	Redis    *redis.Client
	Mem      *memcache.Client
	Gifts    *freecache.Cache
	HTTP     *http.Client
	Upstream string // base URL
	RPC      grpc_testing.TestServiceClient
	DB       *sql.DB
	Bolt     *bolt.DB
	Codec    Codec

	meters map[string]*clock.Meter
	still  []Item // what the endpoints that decode nothing work on
}

// Endpoints are the names of all endpoints.
var Endpoints = []string{"live", "gift", "shop", "rank", "fanout", "user", "export", "chat", "rows", "bolt", "rpc", "stream", "post", "events", "ws"}

// New makes a service with its meters and none of its stores.
func New() *API {
	a := &API{meters: map[string]*clock.Meter{}, still: NewFeed(25).Items, Codec: Codecs["json"]}
	for _, n := range Endpoints {
		a.meters[n] = &clock.Meter{}
	}
	return a
}

// Meter is the clock of an endpoint.
func (a *API) Meter(name string) *clock.Meter { return a.meters[name] }

type reply struct {
	Best int    `json:"best"`
	From string `json:"from"`
}

// answer works on the items and encodes the reply.
func answer(l *clock.Lap, items []Item, rounds int) ([]byte, error) {
	best := Work(items, rounds)
	l.Done(clock.App)
	b, err := json.Marshal(reply{best, "lab"})
	l.Done(clock.Encode)
	return b, err
}

// Live decodes what Redis holds.
func (a *API) Live(ctx context.Context, id string) ([]byte, error) {
	l := a.meters["live"].Start()
	defer l.Stop()
	b, err := a.Redis.Get(ctx, "feed:"+id).Bytes()
	l.Done(clock.Get)
	if err != nil {
		return nil, err
	}
	var f Feed
	err = a.Codec.Unmarshal(b, &f)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

// Gift decodes what the process's own cache holds.
func (a *API) Gift(_ context.Context, id string) ([]byte, error) {
	l := a.meters["gift"].Start()
	defer l.Stop()
	b, err := a.Gifts.Get([]byte("feed:" + id))
	l.Done(clock.Get)
	if err != nil {
		return nil, err
	}
	f := new(Feed)
	err = json.Unmarshal(b, f)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 6)
}

// cached is the helper that people write around a cache client.
func cached[T any](l *clock.Lap, c *memcache.Client, key string) (v T, err error) {
	it, err := c.Get(key)
	l.Done(clock.Get)
	if err != nil {
		return v, err
	}
	err = json.Unmarshal(it.Value, &v)
	l.Done(clock.Decode)
	return v, err
}

// Shop decodes what memcached holds, in a generic helper.
func (a *API) Shop(_ context.Context, id string) ([]byte, error) {
	l := a.meters["shop"].Start()
	defer l.Stop()
	f, err := cached[Feed](l, a.Mem, "feed_"+id)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

// Fanout decodes several values of Redis, each in a goroutine.
func (a *API) Fanout(ctx context.Context, id string) ([]byte, error) {
	m := a.meters["fanout"]
	m.Start().Stop()
	g, ctx := errgroup.WithContext(ctx)
	for i := range 3 {
		g.Go(func() error {
			l := m.Also()
			defer l.Stop()
			b, err := a.Redis.Get(ctx, fmt.Sprint("feed:", i)).Bytes()
			l.Done(clock.Get)
			if err != nil {
				return err
			}
			var f Feed
			err = a.Codec.Unmarshal(b, &f)
			l.Done(clock.Decode)
			Work(f.Items, 2)
			l.Done(clock.App)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return []byte(`{"id":"` + id + `"}`), nil
}

// User decodes nothing.
func (a *API) User(_ context.Context, _ string) ([]byte, error) {
	l := a.meters["user"].Start()
	defer l.Stop()
	return answer(l, a.still, 10)
}

// Export encodes much.
func (a *API) Export(_ context.Context, _ string) ([]byte, error) {
	l := a.meters["export"].Start()
	defer l.Stop()
	Work(a.still, 2)
	l.Done(clock.App)
	b, err := json.Marshal(Feed{ID: "x", Items: a.still})
	l.Done(clock.Encode)
	return b, err
}

// Chat works on what a client sent. Its router decodes it.
func (a *API) Chat(_ context.Context, l *clock.Lap, m *ChatMsg) ([]byte, error) {
	if len(m.Items) == 0 {
		return nil, errors.New("an empty message")
	}
	return answer(l, m.Items, 4)
}
