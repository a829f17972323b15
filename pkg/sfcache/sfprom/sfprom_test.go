package sfprom

import (
	"context"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/profbot/profbot/pkg/sfcache"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// full has another value in each field: 1, 2, ... or as many milliseconds.
func full() (s sfcache.Stats) {
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		n := int64(i + 1)
		if v.Field(i).Type() == reflect.TypeFor[time.Duration]() {
			n *= int64(time.Millisecond)
		}
		v.Field(i).SetInt(n)
	}
	return s
}

// TestEveryField finds the value of each field of Stats in one metric.
func TestEveryField(t *testing.T) {
	families := gather(t, NewCollector("all", full))
	got := map[float64]string{}
	for line := range strings.Lines(families) {
		var value float64
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := fmt.Sscan(rest, &value); err != nil {
			t.Fatal(err)
		}
		if other, ok := got[value]; ok {
			t.Errorf("%s and %s have the value of one field", name, other)
		}
		got[value] = name
	}
	s := full()
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		want := float64(v.Field(i).Int())
		if d, ok := v.Field(i).Interface().(time.Duration); ok {
			want = d.Seconds()
		}
		if got[want] == "" {
			t.Errorf("Stats.%s is not exported", v.Type().Field(i).Name)
		}
	}
	if len(got) != v.NumField() {
		t.Errorf("%d metrics for %d fields", len(got), v.NumField())
	}
}

func gather(t *testing.T, cs ...prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	for _, c := range cs {
		if err := reg.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestExposition is what Prometheus reads of two caches.
func TestExposition(t *testing.T) {
	got := gather(t, NewCollector("lists", full), NewCollector("gifts", func() sfcache.Stats { return sfcache.Stats{} }))
	const file = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("(-golden +got; -update rewrites it)\n%s", d)
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(NewCollector("lists", full))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestSavedNeverFalls has the estimate fall, as it does when decoding gets
// faster.
func TestSavedNeverFalls(t *testing.T) {
	var s sfcache.Stats
	c := NewCollector("lists", func() sfcache.Stats { return s })
	for _, step := range []struct {
		now  time.Duration
		want string
	}{{2 * time.Second, "2"}, {time.Second, "2"}, {3 * time.Second, "3"}} {
		s.DecodeTimeSaved = step.now
		if got := gather(t, c); !strings.Contains(got, `sfcache_decode_seconds_saved_total{cache="lists"} `+step.want+"\n") {
			t.Errorf("with %s saved now, want %s in\n%s", step.now, step.want, got)
		}
	}
}

// TestCache collects from a cache, while it is open and after.
func TestCache(t *testing.T) {
	cache, err := sfcache.New(sfcache.Config[string]{TTL: time.Minute, Load: func(_ context.Context, key string) (string, error) { return key, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	for range 3 {
		if _, err := cache.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	c := NewCollector("names", cache.Stats)
	for range 2 {
		got := gather(t, c)
		for _, want := range []string{`sfcache_hits_total{cache="names",tier="hold"} 2`, `sfcache_loads_total{cache="names"} 1`} {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("want %s in\n%s", want, got)
			}
		}
		cache.Close()
	}
}
