//go:build !small

package svc

import (
	"bytes"
	"encoding/gob"

	"github.com/fxamacker/cbor/v2"
	goccyyaml "github.com/goccy/go-yaml"
	jsoniter "github.com/json-iterator/go"
	segmentio "github.com/segmentio/encoding/json"
	"github.com/vmihailenco/msgpack/v5"
	bson2 "go.mongodb.org/mongo-driver/v2/bson"
)

func init() {
	Codecs["msgpack"] = Codec{msgpack.Marshal, msgpack.Unmarshal}
	Codecs["cbor"] = Codec{cbor.Marshal, cbor.Unmarshal}
	Codecs["bson"] = Codec{bson2.Marshal, bson2.Unmarshal}
	Codecs["segmentio"] = Codec{segmentio.Marshal, segmentio.Unmarshal}
	Codecs["jsoniter"] = Codec{jsoniter.Marshal, jsoniter.Unmarshal}
	Codecs["yaml"] = Codec{func(v any) ([]byte, error) { return goccyyaml.Marshal(v) }, func(b []byte, v any) error { return goccyyaml.Unmarshal(b, v) }}
	Codecs["gob"] = Codec{func(v any) ([]byte, error) {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	}, func(b []byte, v any) error { return gob.NewDecoder(bytes.NewReader(b)).Decode(v) }}
}
