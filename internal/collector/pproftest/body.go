package pproftest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"
)

// head begins a message: the type "cpu", and the strings that it needs.
var head = []byte{0x0a, 2, 8, 1, 0x32, 0, 0x32, 3, 'c', 'p', 'u'}

// bodies are answers that are made once: making them takes the longest of all.
var bodies = map[Mode]func() []byte{
	Bomb:      sync.OnceValue(func() []byte { return bomb(16 << 20) }),
	BigBomb:   sync.OnceValue(func() []byte { return bomb(256 << 20) }),
	Idle:      sync.OnceValue(func() []byte { return pack(head) }),
	Samples:   sync.OnceValue(func() []byte { return pack(head, bytes.Repeat([]byte{0x12, 0}, 2_000_000)) }),
	Locations: sync.OnceValue(func() []byte { return pack(head, bytes.Repeat([]byte{0x22, 0}, 2_000_000)) }),
	Strings:   sync.OnceValue(func() []byte { return pack(head, bytes.Repeat([]byte{0x32, 0}, 2_000_000)) }),
	Frames: sync.OnceValue(func() []byte {
		const frames = 2_000_000
		ids := binary.AppendUvarint([]byte{0x0a}, frames)
		sample := binary.AppendUvarint([]byte{0x12}, uint64(len(ids)+frames))
		return pack(head, sample, ids, bytes.Repeat([]byte{1}, frames))
	}),
	Overflow: sync.OnceValue(func() []byte { return pack(head, append([]byte{0x48}, bytes.Repeat([]byte{0xff}, 11)...)) }),
}

// bomb is a profile with one very long string, of a multiple of 1 MiB. Its
// compressed pieces are all the same and made once, for compressing hundreds of
// megabytes takes seconds.
func bomb(size int) []byte {
	zeros := make([]byte, 1<<20)
	head := binary.AppendUvarint([]byte{0x0a, 0, 0x32, 0, 0x32}, uint64(size))
	b := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff} // gzip's head (RFC 1952)
	b = append(b, deflated(head)...)
	piece, sum := deflated(zeros), crc32.ChecksumIEEE(head)
	for range size / len(zeros) {
		b = append(b, piece...)
		sum = crc32.Update(sum, crc32.IEEETable, zeros)
	}
	b = append(b, 3, 0) // the last, empty block
	b = binary.LittleEndian.AppendUint32(b, sum)
	return binary.LittleEndian.AppendUint32(b, uint32(len(head)+size))
}

// deflated is b as blocks of a stream that goes on.
func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression) // the level is known, and a bytes.Buffer does not fail
	_, _ = w.Write(b)
	_ = w.Flush()
	return out.Bytes()
}

func pack(parts ...[]byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	for _, p := range parts {
		_, _ = zw.Write(p) // a bytes.Buffer does not fail
	}
	_ = zw.Close()
	return b.Bytes()
}

// unpack is the opposite; what is not packed stays as it is, such as the words
// of an error.
func unpack(b []byte) []byte {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b
	}
	raw, err := io.ReadAll(zr)
	if err != nil {
		return b
	}
	return raw
}
