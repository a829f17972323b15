package sfcache_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

func FuzzEnvelope(f *testing.F) {
	f.Add(false, int64(1_700_000_000_000), int64(1500), []byte("payload"))
	f.Add(true, int64(-1), int64(1)<<40, []byte(nil))
	f.Fuzz(func(t *testing.T, absent bool, fresh, cost int64, payload []byte) {
		h := sfcache.Header{Absent: absent, Fresh: time.UnixMilli(fresh), Cost: time.Duration(cost & (1<<62 - 1))}
		if absent {
			payload = nil
		}
		b := sfcache.Wrap(h, payload)
		got, data, err := sfcache.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		h.Cost = min(h.Cost.Truncate(time.Microsecond), (1<<32-1)*time.Microsecond)
		if got.Absent != h.Absent || got.Fresh.UnixMilli() != fresh || got.Cost != h.Cost || !bytes.Equal(data, payload) {
			t.Errorf("%+v %q came back as %+v %q", h, payload, got, data)
		}
		for cut := range b { // no part of it passes for the whole
			if _, _, err := sfcache.Open(b[:cut]); err == nil {
				t.Errorf("%d of %d bytes are taken for all", cut, len(b))
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(sfcache.Wrap(sfcache.Header{Fresh: time.UnixMilli(1_700_000_000_000)}, []byte(`"v"`)))
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := sfcache.Open(b)
		if err == nil && !bytes.Equal(sfcache.Wrap(h, payload), b) {
			t.Errorf("%q opens as %+v %q, which is not what it says", b, h, payload)
		}
	})
}

// Whatever a byte tier has, a caller gets what was really stored or the
// loader's value, nobody panics, and nothing is kept for ever.
func FuzzStoredBytes(f *testing.F) {
	soon := sfcache.Header{Fresh: time.Now().Add(time.Hour), Cost: time.Second}
	f.Add([]byte(`"stored"`), true, true)
	f.Add(sfcache.Wrap(soon, []byte(`"stored"`)), true, false)
	f.Add(sfcache.Wrap(soon, []byte(`"stored`)), false, false)
	f.Add(sfcache.Wrap(sfcache.Header{Absent: true, Fresh: soon.Fresh}, nil), false, false)
	f.Add(sfcache.Wrap(sfcache.Header{Fresh: time.UnixMilli(1<<62 - 1)}, []byte(`"stored"`)), true, false)
	f.Fuzz(func(t *testing.T, b []byte, inRemote, raw bool) {
		m := newMemory()
		cfg := sfcache.Config[string]{
			Name: "t", TTL: time.Minute, Stale: time.Minute, Early: 1,
			Load: func(context.Context, string) (string, error) { return "loaded", nil },
		}
		if inRemote {
			cfg.Remote, cfg.Raw = stores{m}, raw
			m.put(map[bool]string{true: "k", false: "t:k"}[raw], b, time.Hour)
		} else {
			cfg.Local, raw = sfcache.Local{Bytes: 512 << 10}, false
		}
		c, err := sfcache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !inRemote && c.SetLocal("k", b) != nil {
			return // too large for it
		}
		h, payload, err := sfcache.Open(b)
		if raw {
			h, payload, err = sfcache.Header{}, b, nil
		}
		stored, derr := sfcache.JSON[string]().Decode(payload)
		v, gerr := c.Get(t.Context(), "k")
		switch {
		case gerr != nil:
			if err != nil || !h.Absent {
				t.Errorf("%q: %v", b, gerr)
			}
		case v == "loaded":
		case err != nil || derr != nil || h.Absent || v != stored:
			t.Errorf("%q gave %q; the envelope: %v, the codec: %q, %v", b, v, err, stored, derr)
		}
		if v, err := c.Refresh(t.Context(), "k"); v != "loaded" || err != nil {
			t.Errorf("Refresh: %q, %v", v, err)
		}
		if v, err := c.Get(t.Context(), "k"); v != "loaded" || err != nil {
			t.Errorf("after it: %q, %v", v, err)
		}
	})
}
