package sfcache

import "encoding/json"

// Codec turns values into the bytes that the byte tiers store, and back. Both
// functions are called by many goroutines at once.
//
// A codec for any package is two functions. For google.golang.org/protobuf:
//
//	sfcache.Codec[*pb.List]{
//		Encode: func(v *pb.List) ([]byte, error) { return proto.Marshal(v) },
//		Decode: func(b []byte) (*pb.List, error) { v := new(pb.List); return v, proto.Unmarshal(b, v) },
//	}
//
// and for vmihailenco/msgpack, goccy/go-json, bytedance/sonic, or whatever has
// Marshal and Unmarshal with the usual signatures:
//
//	sfcache.CodecOf[List](sonic.Marshal, sonic.Unmarshal)
type Codec[V any] struct {
	// Encode must not change v, which callers of Get may have already.
	Encode func(v V) ([]byte, error)
	// Decode must not keep data or parts of it: the buffer is used again.
	// An error, or a panic, makes the bytes count as absent: they are replaced
	// by what the loader returns. It must not call runtime.Goexit.
	Decode func(data []byte) (V, error)
}

// CodecOf is a codec of a pair of functions like those of encoding/json.
func CodecOf[V any](marshal func(any) ([]byte, error), unmarshal func([]byte, any) error) Codec[V] {
	return Codec[V]{
		Encode: func(v V) ([]byte, error) { return marshal(v) },
		Decode: func(data []byte) (v V, err error) {
			err = unmarshal(data, &v)
			return v, err
		},
	}
}

// JSON is the codec of encoding/json, the default.
func JSON[V any]() Codec[V] { return CodecOf[V](json.Marshal, json.Unmarshal) }
