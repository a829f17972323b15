package sfcache

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are a Cache's counts since it was made.
type Stats struct {
	HoldHits   int64 // a decoded value was there
	LocalHits  int64 // bytes were in Local and were decoded
	RemoteHits int64 // bytes were in Remote and were decoded
	Loads      int64 // calls of a loader; of LoadMany each key
	LoadErrors int64 // without those that say there is no value
	NotFound   int64 // loads that said there is no value
	LoadTime   time.Duration

	Flights       int64 // begun for keys that were not at hand, or wanted a refresh
	SharedCallers int64 // got the result of a flight or decode that another caller began
	StaleServed   int64
	Refreshes     int64 // background refreshes started, early ones and those of stale values

	Decodes      int64
	DecodedBytes int64
	DecodeTime   time.Duration
	// DecodeTimeSaved is what the hits in the hold and the shared callers
	// would have spent on decoding, at the mean of those that did.
	DecodeTimeSaved time.Duration
	Undecodable     int64 // bytes that could not be decoded and counted as absent
	EncodeErrors    int64

	Oversize   int64 // values too large for Local
	TooLarge   int64 // values larger than the whole hold
	Evicted    int64 // values pushed out of the hold
	HeldBytes  int64 // in the hold now, as Hold.Size counts
	HeldValues int64 // in the hold now

	Refused       int64 // loads not kept, since the key was written meanwhile
	Leases        int64 // loads made as the one process that may
	LeaseWaits    int64 // flights that waited for another process's load
	RemoteErrors  int64 // calls of Remote that failed
	RemoteRests   int64 // calls of Remote not made, after failures in a row
	Invalidations int64 // keys dropped because another process wrote them
	Missed        int64 // times that the local tiers were dropped, since messages may be lost
}

// counters are the parts of Stats that are counted as they happen; hits in the
// hold and shared callers are counted apart, since they come in crowds.
type counters struct {
	localHits, remoteHits, loads, loadErrors, notFound, loadTime atomic.Int64
	stale, refreshes, absentHits                                 atomic.Int64
	decodeCount, decodedBytes, decodeTime                        atomic.Int64
	undecodables, encodeErrors, oversize, tooLarge               atomic.Int64
	refused, leases, leaseWaits                                  atomic.Int64
	remoteErrors, remoteRests, invalidations, missed             atomic.Int64
}

// Stats returns the counts. They are read one after the other while the cache
// goes on, so sums need not add up to the last call.
func (c *Cache[V]) Stats() Stats {
	s := Stats{
		HoldHits: c.hits.sum(), LocalHits: c.localHits.Load(), RemoteHits: c.remoteHits.Load(),
		Loads: c.loads.Load(), LoadErrors: c.loadErrors.Load(), NotFound: c.notFound.Load(), LoadTime: time.Duration(c.loadTime.Load()),
		Flights: c.flights.started.Load(), SharedCallers: c.shared.sum(), StaleServed: c.stale.Load(), Refreshes: c.refreshes.Load(),
		Decodes: c.decodeCount.Load(), DecodedBytes: c.decodedBytes.Load(), DecodeTime: time.Duration(c.decodeTime.Load()),
		Undecodable: c.undecodables.Load(), EncodeErrors: c.encodeErrors.Load(),
		Oversize: c.oversize.Load(), TooLarge: c.tooLarge.Load(), Evicted: c.hold.evicted.Load(),
		Refused: c.refused.Load(), Leases: c.leases.Load(), LeaseWaits: c.leaseWaits.Load(),
		RemoteErrors: c.remoteErrors.Load(), RemoteRests: c.remoteRests.Load(), Invalidations: c.invalidations.Load(), Missed: c.missed.Load(),
	}
	s.HeldBytes, s.HeldValues = c.hold.size()
	if s.Decodes > 0 {
		s.DecodeTimeSaved = time.Duration(float64(s.HoldHits-c.absentHits.Load()+s.SharedCallers) * float64(s.DecodeTime) / float64(s.Decodes))
	}
	return s
}

func (c *Cache[V]) observe(e Event) {
	if c.cfg.Observe != nil {
		c.cfg.Observe(e)
	}
}

// sayings logs each message at most once a minute: what they are about may
// happen in every request.
type sayings struct {
	mu   sync.Mutex // protects last
	last map[string]time.Time
}

func (s *sayings) say(l *slog.Logger, msg string, args ...any) {
	now := time.Now()
	s.mu.Lock()
	last, ok := s.last[msg]
	quiet := ok && now.Sub(last) < time.Minute
	if !quiet {
		if s.last == nil {
			s.last = map[string]time.Time{}
		}
		s.last[msg] = now
	}
	s.mu.Unlock()
	if !quiet {
		l.Warn(msg, args...)
	}
}
