package sfprom_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfprom"
)

func ExampleNewCollector() {
	names, err := sfcache.New(sfcache.Config[string]{
		TTL:  time.Minute,
		Load: func(_ context.Context, key string) (string, error) { return "name of " + key, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer names.Close()
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(sfprom.NewCollector("names", names.Stats))

	for range 5 {
		if _, err := names.Get(context.Background(), "1"); err != nil {
			fmt.Println(err)
		}
	}
	err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP sfcache_loads_total Keys that a loader was called for.
# TYPE sfcache_loads_total counter
sfcache_loads_total{cache="names"} 1
`), "sfcache_loads_total")
	fmt.Println("five calls, one load:", err == nil)
	// Output: five calls, one load: true
}
