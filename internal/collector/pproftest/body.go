package pproftest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
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
		const frames = 20_000_000
		ids := binary.AppendUvarint([]byte{0x0a}, frames)
		sample := binary.AppendUvarint([]byte{0x12}, uint64(len(ids)+frames))
		return pack(head, sample, ids, bytes.Repeat([]byte{1}, frames))
	}),
	Overflow: sync.OnceValue(func() []byte { return pack(head, append([]byte{0x48}, bytes.Repeat([]byte{0xff}, 11)...)) }),
}

// bomb is a profile with one very long string.
func bomb(size int) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(binary.AppendUvarint([]byte{0x0a, 0, 0x32, 0, 0x32}, uint64(size))) // a bytes.Buffer does not fail
	piece := make([]byte, 1<<20)
	for ; size > 0; size -= len(piece) {
		_, _ = zw.Write(piece)
	}
	_ = zw.Close()
	return b.Bytes()
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
