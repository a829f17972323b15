package sfredis_test

import (
	"context"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
)

type profile struct {
	Name string `json:"name"`
}

// A cache that processes share: one of them loads what Redis does not have, and
// all forget what one of them writes.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	profiles, err := sfcache.New(sfcache.Config[*profile]{
		Name:   "profiles",
		TTL:    time.Minute,
		Lease:  3 * time.Second, // one process loads, the others wait
		Remote: sfredis.New(client, sfredis.Options{}),
		Load: func(context.Context, string) (*profile, error) {
			return &profile{Name: "Ada"}, nil // from the database
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer profiles.Close()

	ctx := context.Background()
	p, err := profiles.Get(ctx, "1")
	if err != nil {
		log.Fatal(err)
	}
	log.Print(p.Name)
	// After a write to the database:
	if err := profiles.Delete(ctx, "1"); err != nil {
		log.Print(err) // other processes may keep it for up to a minute
	}
}

// A cluster, and keys that other programs read and write as plain JSON.
func ExampleNew() {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"redis-1:6379", "redis-2:6379"}, ContextTimeoutEnabled: true})
	defer client.Close()
	profiles, err := sfcache.New(sfcache.Config[*profile]{
		TTL:    time.Minute,
		Raw:    true,
		Hold:   sfcache.Hold[*profile]{TTL: 100 * time.Millisecond}, // those programs send no messages
		Remote: sfredis.New(client, sfredis.Options{Channel: "profiles"}),
		Load: func(context.Context, string) (*profile, error) {
			return nil, sfcache.ErrNotFound
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer profiles.Close()
}
