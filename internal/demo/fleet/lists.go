package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
)

// holdTTL is how long a decoded list is shared: no viewer notices a list that
// is a second old.
const holdTTL = time.Second

// lists is the catalog after the fix: the same Redis keys through the same
// local cache, and one decode for all who ask at the same time.
type lists struct {
	rooms *sfcache.Cache[[]room]
	gifts *sfcache.Cache[[]gift]
}

func newLists(client *redis.Client) (*lists, error) {
	rooms, err := sfcache.New(listConfig[room](client))
	if err != nil {
		return nil, err
	}
	gifts, err := sfcache.New(listConfig[gift](client))
	if err != nil {
		_ = rooms.Close() // never fails
		return nil, err
	}
	return &lists{rooms, gifts}, nil
}

func listConfig[T any](client *redis.Client) sfcache.Config[[]T] {
	return sfcache.Config[[]T]{
		Load: func(_ context.Context, key string) ([]T, error) {
			return nil, fmt.Errorf("nobody has filled %q in redis", key)
		},
		TTL:    cacheSeconds * time.Second,
		Hold:   sfcache.Hold[[]T]{TTL: holdTTL},
		Local:  sfcache.Local{Bytes: cacheBytes, MaxValue: 80 << 10},
		Remote: sfredis.New(client, sfredis.Options{}), Raw: true, RemoteTimeout: redisTimeout,
		// The handlers sort and cut the list that they get, so each gets one of
		// its own. The rooms and gifts in it stay shared.
		Clone: slices.Clone[[]T],
	}
}

func (l *lists) close() {
	_, _ = l.rooms.Close(), l.gifts.Close() // they never fail
}
