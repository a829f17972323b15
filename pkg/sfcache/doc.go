// Package sfcache is a read-through cache whose flights cover load and decode:
// callers who ask for the same key at the same time share one load and one
// decoded value.
//
// # The tiers
//
//	hold    decoded values, bounded by bytes           ~10 ns, no allocation
//	flight  one caller works, the others wait for it   golang.org/x/sync/singleflight
//	Local   bytes in this process (freecache)          copy + decode
//	Remote  bytes in Redis (package sfredis)           round trip + decode
//	Load    where the value really is
//
// A Get goes down until it finds the key, and what it found is stored on the
// way back. Every tier but the flight can be left out.
//
//	lists, err := sfcache.New(sfcache.Config[*List]{
//		Name:   "lists",
//		TTL:    time.Minute,                                      // how long a loaded value is fresh
//		Hold:   sfcache.Hold[*List]{TTL: 100 * time.Millisecond}, // how long a decoded one is
//		Local:  sfcache.Local{Bytes: 256 << 20},
//		Remote: sfredis.New(client, sfredis.Options{}),
//		Load: func(ctx context.Context, key string) (*List, error) {
//			return db.List(ctx, key) // sfcache.ErrNotFound when there is none
//		},
//	})
//	...
//	list, err := lists.Get(ctx, "live:eu")
//
// # From singleflight to this
//
// A hand-rolled group.Do around a cache read shares the work of callers that
// overlap. Around the bytes it saves loads, and each caller still decodes; put
// around load and decode it saves both. That is what a Cache does with the hold
// off, and [Group] alone with no tiers at all: a local cache that is evicted
// when the function returns.
//
// Overlap is rarer than it looks. With λ requests a second for one key and T
// seconds to get it, 1/(1+λT) of the requests still do the work: at 1,000
// requests a second and 0.4 ms of decoding, 7 in 10. Holding the decoded value
// for H seconds makes that 1/(1+λ(T+H)): with H of 100 ms, 1 in 100. So the
// hold is on by default, and the flight is its guard against stampedes.
//
//   - Hold.TTL of the order of 100 ms: a value may be that much older than
//     what another process wrote, and hot keys are decoded ten times a second.
//   - Hold.TTL equal to TTL (the default): decode once a TTL; for values that
//     only this process writes, or with Remote, whose messages drop what other
//     processes changed.
//   - Hold.MaxBytes negative: no value outlives the calls that wait for it.
//     Right when values are huge, private, or keys hardly ever repeat.
//
// # What is promised
//
// A caller's context governs its own waiting and nothing else; it returns when
// its context ends, also the caller whose loader runs. The load goes on while
// somebody waits, with the values of the first caller's context, and is
// cancelled when the last has left. A panic in a loader is an error for
// everybody who waits, a [*PanicError] with its stack, and the key works on.
//
// No caller gets the result of a flight that had ended before it came. After Set
// or Delete has returned, no Get that starts later in this process returns an
// older value, and a load that was under way is stored nowhere: not in the hold,
// not in Local, and not in Redis, where a token fences it. With the hold on,
// callers of Get have what was loaded when the hold has it; encoding, Local and Redis
// follow, at most RemoteTimeout for the call. A write of this process in that
// time ends it, as it ends a load. Where another process wrote, the value may be
// held until Redis' message comes or the token is refused, whichever is first;
// then it is dropped. While a write is under way (of the source, and of the
// cache after it), Gets return the old value or the new one, in any order; in
// the literature's words, a key is a regular register. Other processes follow
// when Redis' message reaches them. When messages may have been lost, a process
// drops its local tiers instead of trusting them.
//
// Nothing is served longer than TTL after it was loaded, give or take
// Config.Jitter, whatever tier it is in; with Config.Stale, that much longer,
// while one flight gets a new one or when the loader fails. (With Config.Raw a
// key that has no expiry of its own is as good as loaded each time it is read.)
// When the TTL of the hold or of Local is over, the tiers below are asked; Stale
// begins where TTL ends. The hold's clock
// ticks twenty times in Hold.TTL, but each millisecond at most and four times a
// second at least, and hits may be a tick late. Clocks matter: processes whose
// clocks differ by a second see each other's values expire a second early or
// late.
//
// A Remote that is down or slow costs each flight at most RemoteTimeout for a
// call, two calls as a rule; callers wait for the second, which stores the
// value, only where the hold does not have it. After a few failures in a row it
// rests, and is tried now and then until it is back. Callers get their values
// from the loader and never see its errors. Bytes that cannot be decoded count
// as absent. A value too large for a tier is not stored there, and that is
// counted and logged.
//
// Values are shared: nobody may change what Get returned, unless Config.Clone
// makes each caller a copy; the codec reads the value while callers have it.
// Config.SharedCheck and [Cache.CheckShared] find those who do, in tests.
//
// # What to watch
//
// [Cache.Stats] counts everything, always. Loads should follow expiries and not
// requests; Oversize should be 0; DecodeTimeSaved says what the cache is worth.
// Package sfprom exports them to Prometheus.
package sfcache
