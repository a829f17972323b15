package sfcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Loader gets the value of key from where it really is. An error that wraps
// [ErrNotFound] says that there is none. ctx ends after Config.LoadTimeout, or
// when nobody waits any more.
type Loader[V any] func(ctx context.Context, key string) (V, error)

// Config describes a [Cache]. Load (or calls of GetWith alone) and TTL are
// what most set; [New] checks everything and says what is wrong.
type Config[V any] struct {
	// Name tells the cache apart in logs and metrics, and its keys in Remote:
	// they are stored as Name:key. Required with Remote, unless Raw. When V
	// changes so that old bytes no longer decode well, change Name.
	Name string

	// Load gets a value that no tier has. nil means that there is only GetWith.
	Load Loader[V]
	// LoadMany gets many at once for GetMany. Keys that are not in the result
	// have no value. nil means one Load a key, a few at a time.
	LoadMany func(ctx context.Context, keys []string) (map[string]V, error)
	// LoadTimeout bounds a flight: the look into Remote and the load. It is
	// not a caller's; theirs is in their context. 0 means 10 s.
	LoadTimeout time.Duration

	// TTL is how long a loaded value is fresh, whichever tier it is in. At
	// least 1 ms. Required while any tier is on.
	TTL time.Duration
	// Jitter spreads every TTL by up to this part of it, down and up, so that
	// what was loaded together does not expire together. 0 means 0.1; negative
	// means none.
	Jitter float64
	// Stale is how long after its TTL a value may still be served, while one
	// flight gets a new one, and when the loader fails. 0 means never.
	Stale time.Duration
	// Early is the beta of XFetch (Vattani et al., VLDB 2015): hot values are
	// loaded again a little before they expire, the earlier the longer a load
	// takes, so that nobody waits for it. 1 is usual; 0 is off. Many loads take
	// longer than the last one did? Then more than 1.
	Early float64
	// NotFound is the error that means "there is no value"; nil means
	// ErrNotFound. Such answers are kept for NegativeTTL; 0 means not at all.
	NotFound    error
	NegativeTTL time.Duration

	// Hold keeps decoded values. It is on by default.
	Hold Hold[V]
	// Local keeps bytes in this process, outside the garbage collector's
	// sight. It is off by default.
	Local Local
	// Remote keeps bytes for all processes; nil means none.
	Remote Remote
	// RemoteTimeout bounds each call of Remote. 0 means 250 ms.
	RemoteTimeout time.Duration
	// Lease lets one process load a key that Remote does not have while the
	// others wait for it, at most this long. 0 is off: every process may load.
	Lease time.Duration
	// Raw stores in Remote what the codec makes and nothing else, as other
	// programs that share the keys expect it, and uses keys as they are. Then
	// absence is not stored there, Stale and Early end at Remote, and a key's
	// own expiry is the end of its freshness.
	Raw bool

	// Codec is for the byte tiers. The zero value means JSON.
	Codec Codec[V]
	// Clone makes a private copy for each caller. nil means that callers share
	// one value and must not change it: see [Cache.CheckShared].
	Clone func(V) V

	// Observe is called after loads and decodes and when something goes wrong,
	// never for a hit in the hold; of LoadMany once, with its first key. It must
	// be quick. nil means no calls.
	Observe func(Event)
	// Logger gets what an operator should know, each kind once in a while.
	// nil discards.
	Logger *slog.Logger
	// SharedCheck makes CheckShared possible. For tests: it copies every value
	// that is held.
	SharedCheck bool
}

// Hold is the tier of decoded values.
type Hold[V any] struct {
	// MaxBytes bounds it, as Size counts. 0 means 64 MiB; negative turns the
	// hold off: then callers share a value only while it is being got.
	MaxBytes int64
	// TTL is how long a value is served before the byte tiers are asked again.
	// A short one bounds how old a value may be that another process changed,
	// and costs a decode each time. 0 means Config.TTL.
	TTL time.Duration
	// Size is the bytes that a value keeps alive. nil means SizeOf.
	Size func(V) int64
}

// Local is the tier of bytes in this process, a freecache.
type Local struct {
	// Bytes is its size, allocated at once; 0 turns it off. At least 512 KiB.
	// freecache refuses entries over a 1024th of it: values of 500 KB need
	// 512 MB.
	Bytes int
	// TTL is at most Config.TTL; 0 means that.
	TTL time.Duration
	// MaxValue is the largest encoded value you expect, with its key. If Local
	// would refuse it, New does. 0 means not known: then what is refused is
	// counted, and logged.
	MaxValue int
}

// Event is something that happened in a [Cache].
type Event struct {
	Kind EventKind
	Key  string
	Took time.Duration // of a load or a decode
	Size int           // bytes decoded, or refused
	Err  error         // nil when it went well
}

// EventKind says what an [Event] is about.
type EventKind string

// The kinds of events.
const (
	EventLoad        EventKind = "load"        // a loader returned
	EventDecode      EventKind = "decode"      // bytes became a value
	EventUndecodable EventKind = "undecodable" // they did not, and count as absent
	EventEncode      EventKind = "encode"      // a value could not be encoded; it is held, if that is on
	EventOversize    EventKind = "oversize"    // a value is too large for Local or the hold
	EventRemote      EventKind = "remote"      // Remote failed, and was done without
	EventMissed      EventKind = "missed"      // messages of other processes may be lost; the local tiers were dropped
)

// freecache's own numbers, read in v1.2.7: an entry may have a quarter of one
// of 256 segments, its header of 24 bytes included.
const (
	localMin    = 512 << 10
	localHeader = 24
)

// longest is the longest time that is let in: freecache's seconds and the sums
// of times must not overflow.
const longest = 10 * 365 * 24 * time.Hour

func localMaxEntry(bytes int) int { return bytes/256/4 - localHeader }

// check fills the defaults in and says everything that is wrong.
func (c *Config[V]) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("sfcache: "+format, args...)) }
	positive := func(name string, d time.Duration) {
		switch {
		case d < 0:
			bad("%s is %s, want 0 or more", name, d)
		case d > longest:
			bad("%s is %s, want at most %s: that is as good as for ever", name, d, longest)
		}
	}
	if c.TTL > longest {
		bad("TTL is %s, want at most %s: that is as good as for ever", c.TTL, longest)
	}
	positive("LoadTimeout", c.LoadTimeout)
	positive("Stale", c.Stale)
	positive("NegativeTTL", c.NegativeTTL)
	positive("Hold.TTL", c.Hold.TTL)
	positive("Local.TTL", c.Local.TTL)
	positive("RemoteTimeout", c.RemoteTimeout)
	positive("Lease", c.Lease)
	if c.LoadTimeout == 0 {
		c.LoadTimeout = 10 * time.Second
	}
	if c.RemoteTimeout == 0 {
		c.RemoteTimeout = 250 * time.Millisecond
	}
	switch {
	case c.Jitter == 0:
		c.Jitter = 0.1
	case c.Jitter < 0:
		c.Jitter = 0
	case c.Jitter >= 1:
		bad("Jitter is %g, want less than 1: it is a part of the TTL", c.Jitter)
	}
	if c.Early < 0 {
		bad("Early is %g, want 0 or more", c.Early)
	}
	if c.NotFound == nil {
		c.NotFound = ErrNotFound
	}
	if c.Hold.MaxBytes == 0 {
		c.Hold.MaxBytes = 64 << 20
	}
	c.Hold.MaxBytes = max(c.Hold.MaxBytes, 0)
	if c.Hold.Size == nil {
		c.Hold.Size = SizeOf[V]
	}
	if (c.Codec.Encode == nil) != (c.Codec.Decode == nil) {
		bad("Codec has one of Encode and Decode, want both, or neither for JSON")
	}
	if c.Codec.Encode == nil {
		c.Codec = JSON[V]()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Hold.MaxBytes > 0 || c.Local.Bytes > 0 || c.Remote != nil {
		if c.TTL < time.Millisecond {
			bad("TTL is %s, want at least 1ms: how long a loaded value is fresh", c.TTL)
		}
	}
	if c.NegativeTTL > 0 && c.NegativeTTL < time.Millisecond {
		bad("NegativeTTL is %s, want 0 or at least 1ms", c.NegativeTTL)
	}
	if c.Hold.TTL > c.TTL {
		bad("Hold.TTL is %s, more than TTL, which is %s", c.Hold.TTL, c.TTL)
	}
	if c.Local.TTL > c.TTL {
		bad("Local.TTL is %s, more than TTL, which is %s", c.Local.TTL, c.TTL)
	}
	if c.SharedCheck && c.Hold.MaxBytes == 0 {
		bad("SharedCheck is set and the hold is off, whose values it looks at")
	}
	c.checkLocal(bad)
	if c.Remote != nil {
		if c.Name == "" && !c.Raw {
			bad("Name is empty, and it is what keeps this cache's keys apart in Remote")
		}
		if c.Lease > c.LoadTimeout {
			bad("Lease is %s, more than LoadTimeout (%s), in which the others wait", c.Lease, c.LoadTimeout)
		}
	} else {
		if c.Lease > 0 {
			bad("Lease is set without Remote, where leases are kept")
		}
		if c.Raw {
			bad("Raw is set without Remote, which it is about")
		}
	}
	if c.Load == nil && c.LoadMany != nil {
		bad("LoadMany is set without Load, which Get needs")
	}
	return errors.Join(errs...)
}

func (c *Config[V]) checkLocal(bad func(format string, args ...any)) {
	l := c.Local
	switch {
	case l.Bytes < 0:
		bad("Local.Bytes is %d, want 0 (off) or a size", l.Bytes)
	case l.Bytes == 0 && l.MaxValue > 0:
		bad("Local.MaxValue is set and Local.Bytes is not: set it, to more than %d", (l.MaxValue+headerLen+localHeader)*1024)
	case l.Bytes > 0 && l.Bytes < localMin:
		bad("Local.Bytes is %d, less than the %d that freecache needs", l.Bytes, localMin)
	case l.Bytes > 0 && l.MaxValue+headerLen > localMaxEntry(l.Bytes):
		bad("Local.MaxValue is %d, and a freecache of %d bytes refuses entries over %d: set Local.Bytes to at least %d",
			l.MaxValue, l.Bytes, localMaxEntry(l.Bytes)-headerLen, (l.MaxValue+headerLen+localHeader)*1024)
	}
}
