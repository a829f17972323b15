package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/coocood/freecache"
	"github.com/redis/go-redis/v9"
)

// Keys of the catalog in Redis.
const (
	liveKey = "live:list"
	giftKey = "gift:list"
)

const (
	// cacheBytes is the size of a pod's freecache. freecache refuses an entry
	// of more than 1/1024 of it, so it must be well above 1,024 times the
	// largest value: the values here are 40 to 60 KB.
	cacheBytes = 96 << 20
	// cacheSeconds is how long a pod serves a value before it asks Redis again.
	cacheSeconds = 5
	// redisTimeout bounds one read from Redis.
	redisTimeout = 2 * time.Second
)

// room is one live room as the catalog keeps it.
type room struct {
	ID       int64    `json:"id"`
	Title    string   `json:"title"`
	Host     host     `json:"host"`
	Viewers  int64    `json:"viewers"`
	Likes    int64    `json:"likes"`
	Tags     []string `json:"tags"`
	Cover    string   `json:"cover"`
	Started  string   `json:"started"`
	Category string   `json:"category"`
	PK       bool     `json:"pk"`
}

type host struct {
	ID       int64   `json:"id"`
	Name     string  `json:"name"`
	Avatar   string  `json:"avatar"`
	Level    int     `json:"level"`
	Rating   float64 `json:"rating"`
	Verified bool    `json:"verified"`
}

// gift is one gift that viewers may send.
type gift struct {
	ID     int64             `json:"id"`
	Name   string            `json:"name"`
	Price  int64             `json:"price"`
	Icon   string            `json:"icon"`
	Effect map[string]string `json:"effect"`
	Combo  []int             `json:"combo"`
	Sold   int64             `json:"sold"`
}

// catalogValues makes the values that Redis holds, the same in every run.
func catalogValues() (map[string]string, error) {
	r := rand.New(rand.NewPCG(20261123, 1))
	rooms := make([]room, 150)
	for i := range rooms {
		rooms[i] = room{
			ID: 10_000 + int64(i), Title: fmt.Sprintf("Evening show %d with music and games", i), Viewers: r.Int64N(50_000), Likes: r.Int64N(900_000),
			Host: host{ID: 500 + int64(i), Name: fmt.Sprintf("Host %d", i), Avatar: fmt.Sprintf("https://img.example.com/avatar/%d.webp", i), Level: r.IntN(60), Rating: r.Float64() * 5, Verified: r.IntN(3) == 0},
			Tags: []string{"music", "games", "evening"}, Cover: fmt.Sprintf("https://img.example.com/cover/%d.webp", i), Started: "2026-11-23T18:00:00Z", Category: "entertainment", PK: r.IntN(5) == 0,
		}
	}
	gifts := make([]gift, 220)
	for i := range gifts {
		gifts[i] = gift{
			ID: int64(i), Name: fmt.Sprintf("Gift number %d", i), Price: 1 + r.Int64N(5000), Icon: fmt.Sprintf("https://img.example.com/gift/%d.webp", i),
			Effect: map[string]string{"sound": "chime", "animation": fmt.Sprintf("sparkle-%d", i%7)}, Combo: []int{1, 10, 66, 188}, Sold: r.Int64N(100_000),
		}
	}
	out := map[string]string{}
	for key, v := range map[string]any{liveKey: rooms, giftKey: gifts} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("make the catalog: %w", err)
		}
		out[key] = string(b)
	}
	return out, nil
}

// catalog reads values through a cache in the process from Redis, as bytes:
// the pattern that profbot is there to find, since every caller decodes them.
type catalog struct {
	local *freecache.Cache
	redis *redis.Client
}

// newCatalog returns a catalog with a local cache of size bytes; close ends
// its connections.
func newCatalog(addr string, size int) *catalog {
	return &catalog{
		local: freecache.NewCache(size),
		redis: redis.NewClient(&redis.Options{Addr: addr, PoolSize: 8, ContextTimeoutEnabled: true}),
	}
}

func (c *catalog) close() error { return c.redis.Close() }

// check makes sure that the local cache really holds the values, so that the
// demo shows a cache that works.
func (c *catalog) check(ctx context.Context) error {
	for _, key := range []string{liveKey, giftKey} {
		want, err := c.load(ctx, key)
		if err != nil {
			return err
		}
		got, err := c.local.Get([]byte(key))
		if err != nil {
			return fmt.Errorf("the local cache does not hold %q of %d bytes: %w", key, len(want), err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("the local cache holds %d bytes for %q instead of the %d of Redis", len(got), key, len(want))
		}
	}
	return nil
}

// load returns the bytes of a value: from the local cache, else from Redis.
func (c *catalog) load(ctx context.Context, key string) ([]byte, error) {
	raw, err := c.local.Get([]byte(key))
	if err == nil {
		return raw, nil
	}
	if !errors.Is(err, freecache.ErrNotFound) {
		return nil, fmt.Errorf("read %q from the local cache: %w", key, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, redisTimeout, errors.New("no answer from redis within "+redisTimeout.String()))
	defer cancel()
	raw, err = c.redis.Get(ctx, key).Bytes()
	if err != nil {
		return nil, fmt.Errorf("read %q from redis: %w", key, err)
	}
	if err := c.local.Set([]byte(key), raw, cacheSeconds); err != nil {
		return nil, fmt.Errorf("store %q of %d bytes in the local cache: %w", key, len(raw), err)
	}
	return raw, nil
}
