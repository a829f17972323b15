package sfcache_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/pkg/sfcache"
)

func TestConfigErrors(t *testing.T) {
	m := newMemory()
	for name, tt := range map[string]struct {
		cfg  sfcache.Config[string]
		want []string
	}{
		"nothing": {sfcache.Config[string]{}, []string{"TTL is 0s, want at least 1ms: how long a loaded value is fresh"}},
		"negative times": {
			sfcache.Config[string]{TTL: time.Second, LoadTimeout: -1, Stale: -1, NegativeTTL: -1, RemoteTimeout: -1, Hold: sfcache.Hold[string]{TTL: -1}},
			[]string{
				"LoadTimeout is -1ns, want 0 or more", "Stale is -1ns, want 0 or more", "NegativeTTL is -1ns, want 0 or more",
				"Hold.TTL is -1ns, want 0 or more", "RemoteTimeout is -1ns, want 0 or more",
			},
		},
		"for ever": {
			sfcache.Config[string]{TTL: math.MaxInt64, Stale: math.MaxInt64},
			[]string{
				"TTL is 2562047h47m16.854775807s, want at most 87600h0m0s: that is as good as for ever",
				"Stale is 2562047h47m16.854775807s, want at most 87600h0m0s: that is as good as for ever",
			},
		},
		"parts": {
			sfcache.Config[string]{TTL: time.Second, Jitter: 1, Early: -1, NegativeTTL: 1},
			[]string{
				"Jitter is 1, want less than 1: it is a part of the TTL", "Early is -1, want 0 or more",
				"NegativeTTL is 1ns, want 0 or at least 1ms",
			},
		},
		"tiers longer than TTL": {
			sfcache.Config[string]{TTL: time.Second, Hold: sfcache.Hold[string]{TTL: time.Minute}, Local: sfcache.Local{Bytes: 1 << 20, TTL: time.Hour}},
			[]string{"Hold.TTL is 1m0s, more than TTL, which is 1s", "Local.TTL is 1h0m0s, more than TTL, which is 1s"},
		},
		"half a codec": {
			sfcache.Config[string]{TTL: time.Second, Codec: sfcache.Codec[string]{Encode: sfcache.JSON[string]().Encode}},
			[]string{"Codec has one of Encode and Decode, want both, or neither for JSON"},
		},
		"local too small": {
			sfcache.Config[string]{TTL: time.Second, Local: sfcache.Local{Bytes: 1000}},
			[]string{"Local.Bytes is 1000, less than the 524288 that freecache needs"},
		},
		"local negative": {
			sfcache.Config[string]{TTL: time.Second, Local: sfcache.Local{Bytes: -1}},
			[]string{"Local.Bytes is -1, want 0 (off) or a size"},
		},
		"local refuses": {
			sfcache.Config[string]{TTL: time.Second, Local: sfcache.Local{Bytes: 256 << 20, MaxValue: 500_000}},
			[]string{"Local.MaxValue is 500000, and a freecache of 268435456 bytes refuses entries over 262100: set Local.Bytes to at least 512045056"},
		},
		"local without a size": {
			sfcache.Config[string]{TTL: time.Second, Local: sfcache.Local{MaxValue: 1000}},
			[]string{"Local.MaxValue is set and Local.Bytes is not: set it, to more than 1069056"},
		},
		"remote without a name": {
			sfcache.Config[string]{TTL: time.Second, Remote: m, Lease: time.Minute},
			[]string{
				"Name is empty, and it is what keeps this cache's keys apart in Remote",
				"Lease is 1m0s, more than LoadTimeout (10s), in which the others wait",
			},
		},
		"what needs a remote": {
			sfcache.Config[string]{TTL: time.Second, Lease: time.Second, Raw: true},
			[]string{"Lease is set without Remote, where leases are kept", "Raw is set without Remote, which it is about"},
		},
		"LoadMany alone": {
			sfcache.Config[string]{TTL: time.Second, LoadMany: func(context.Context, []string) (map[string]string, error) { return nil, nil }},
			[]string{"LoadMany is set without Load, which Get needs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := sfcache.New(tt.cfg)
			if err == nil {
				_ = c.Close()
				t.Fatal("no error")
			}
			for i, line := range tt.want {
				tt.want[i] = "sfcache: " + line
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The smallest configurations that work.
func TestConfigDefaults(t *testing.T) {
	load := newSource(0, "k", "v").load
	for name, cfg := range map[string]sfcache.Config[string]{
		"hold alone":     {TTL: time.Minute, Load: load},
		"no tier at all": {Load: load, Hold: off},
		"raw, no name":   {TTL: time.Minute, Load: load, Remote: newMemory(), Raw: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, cfg)
			want(t, c, "k", "v")
			want(t, c, "k", "v")
			if err := c.Set(t.Context(), "k", "v"); err != nil {
				t.Error(err)
			}
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		})
	}
}
