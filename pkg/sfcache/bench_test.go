package sfcache

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func BenchmarkHit(b *testing.B) {
	c, err := New(Config[*int]{TTL: time.Minute, Load: func(ctx context.Context, key string) (*int, error) { return new(1), nil }})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprintf("live:list:%03d", i)
		c.Get(b.Context(), keys[i])
	}
	ctx := b.Context()
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Get(ctx, keys[0])
		}
	})
	b.Run("hundred", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			c.Get(ctx, keys[i%100])
			i++
		}
	})
	b.Run("one-parallel", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				c.Get(ctx, keys[0])
			}
		})
	})
}
