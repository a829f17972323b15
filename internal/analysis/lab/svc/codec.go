package svc

import "encoding/json"

// Codec is how the values in Redis are encoded.
type Codec struct {
	Marshal   func(v any) ([]byte, error)
	Unmarshal func(b []byte, v any) error
}

// Codecs by name.
var Codecs = map[string]Codec{
	"json": {json.Marshal, json.Unmarshal},
}
