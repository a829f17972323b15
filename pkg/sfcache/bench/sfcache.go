package main

import (
	"context"
	"fmt"
	"time"

	"github.com/goccy/go-json"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
)

var goccyCodec = codec{json.Marshal, json.Unmarshal}

// config is sfcache with all its tiers. Eviction, size bounds, expiry and
// statistics cannot be turned off.
func config(e *env, c codec) sfcache.Config[*List] {
	cfg := sfcache.Config[*List]{
		Name:  "lists",
		TTL:   e.redisTTL,
		Hold:  sfcache.Hold[*List]{MaxBytes: e.objectBytes(), TTL: e.ttl},
		Local: sfcache.Local{Bytes: e.localBytes(), TTL: e.ttl},
		Codec: sfcache.Codec[*List]{Encode: func(v *List) ([]byte, error) { return c.marshal(v) }, Decode: func(b []byte) (*List, error) { return e.decode(c, b) }},
		Load:  e.load,
		Lease: e.lease,
	}
	if e.holdTTL > 0 {
		cfg.Hold.TTL = e.holdTTL
	}
	if e.refresh {
		cfg.Early, cfg.Stale = 1, time.Second
	}
	if e.redis != nil {
		cfg.Remote = &countingRemote{sfredis.New(e.redis, sfredis.Options{}), e}
	}
	return cfg
}

func openHold(e *env) (lister, error) { return start(e, config(e, jsonCodec)) }

func openClone(e *env) (lister, error) {
	cfg := config(e, jsonCodec)
	cfg.Clone = (*List).clone
	return start(e, cfg)
}

func openStrict(e *env) (lister, error) {
	cfg := config(e, jsonCodec)
	cfg.Hold.MaxBytes, cfg.Hold.TTL = -1, 0
	return start(e, cfg)
}

func openStrictGoccy(e *env) (lister, error) {
	cfg := config(e, goccyCodec)
	cfg.Hold.MaxBytes, cfg.Hold.TTL = -1, 0
	return start(e, cfg)
}

// openHoldOnly has no byte tier, and so the memory of one of the peers.
func openHoldOnly(e *env) (lister, error) {
	cfg := config(e, jsonCodec)
	cfg.Local = sfcache.Local{}
	return start(e, cfg)
}

// start makes the cache and waits until it hears other processes: before that
// it drops what it keeps, once.
func start(e *env, cfg sfcache.Config[*List]) (lister, error) {
	listens := make(chan struct{}, 1)
	cfg.Remote = listening(cfg.Remote, listens)
	c, err := sfcache.New(cfg)
	if err != nil || e.redis == nil {
		return c, err
	}
	select {
	case <-listens:
		return c, nil
	case <-time.After(10 * time.Second):
		_ = c.Close()
		return nil, fmt.Errorf("%s does not listen", cfg.Name)
	}
}

// countingRemote counts reads, as the others' are counted.
type countingRemote struct {
	sfcache.Remote
	e *env
}

func (r *countingRemote) Fetch(ctx context.Context, keys []string, ask sfcache.Ask, life time.Duration) ([]sfcache.Fetched, error) {
	r.e.reads.Add(1)
	return r.Remote.Fetch(ctx, keys, ask, life)
}

// listeningRemote says when the cache has dealt with the first "missed".
type listeningRemote struct {
	sfcache.Remote
	listens chan<- struct{}
}

func listening(r sfcache.Remote, listens chan<- struct{}) sfcache.Remote {
	if r == nil {
		return nil
	}
	return &listeningRemote{r, listens}
}

func (r *listeningRemote) Watch(ctx context.Context, changed func(string, []string), missed func()) error {
	return r.Remote.Watch(ctx, changed, func() {
		missed()
		select {
		case r.listens <- struct{}{}:
		default:
		}
	})
}
