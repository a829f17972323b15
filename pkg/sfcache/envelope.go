package sfcache

import (
	"encoding/binary"
	"errors"
	"time"
)

// Stored bytes carry a header, since freecache counts its time in whole
// seconds and knows nothing of values that are known not to exist:
//
//	0      version, 1
//	1      kind, 0: a value, 1: known not to exist
//	2      1: stored for a shorter time than the value is fresh (Local.TTL)
//	3      zero
//	4..11  fresh until, Unix milliseconds, big endian
//	12..15 what it cost to load, microseconds
//	16..19 length of what follows
//
// The length finds entries that were cut. It is no checksum: a changed byte
// inside is the codec's to find.
const headerLen = 20

const (
	kindValue  = 0
	kindAbsent = 1
)

// envelope is what a header says.
type envelope struct {
	absent bool
	cut    bool          // fresh ends before the value's own time does
	fresh  time.Time     // to the millisecond
	cost   time.Duration // to the microsecond, at most 71 minutes
}

var errEnvelope = errors.New("not written by sfcache, or cut")

// append appends the header for a payload of n bytes to b.
func (e envelope) append(b []byte, n int) []byte {
	kind := byte(kindValue)
	if e.absent {
		kind = kindAbsent
	}
	cut := byte(0)
	if e.cut {
		cut = 1
	}
	b = append(b, 1, kind, cut, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(e.fresh.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(min(e.cost.Microseconds(), 1<<32-1)))
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// openEnvelope splits stored bytes. The payload is part of b.
func openEnvelope(b []byte) (e envelope, payload []byte, err error) {
	if len(b) < headerLen || b[0] != 1 || b[1] > kindAbsent || b[2] > 1 || b[3] != 0 {
		return e, nil, errEnvelope
	}
	payload = b[headerLen:]
	if uint32(len(payload)) != binary.BigEndian.Uint32(b[16:]) || b[1] == kindAbsent && len(payload) > 0 {
		return e, nil, errEnvelope
	}
	e.absent, e.cut = b[1] == kindAbsent, b[2] == 1
	e.fresh = time.UnixMilli(int64(binary.BigEndian.Uint64(b[4:])))
	e.cost = time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Microsecond
	return e, payload, nil
}
