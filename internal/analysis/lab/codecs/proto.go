package codecs

import (
	"bytes"
	"encoding/json"

	gogojson "github.com/gogo/protobuf/jsonpb"
	gogoproto "github.com/gogo/protobuf/proto"
	gogotypes "github.com/gogo/protobuf/types"
	vtstruct "github.com/planetscale/vtprotobuf/types/known/structpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// The message is a Struct, which every implementation has generated code for.
func init() {
	text := must(json.Marshal(feed))
	v := new(structpb.Struct)
	if err := protojson.Unmarshal(text, v); err != nil {
		panic(err) // it was just encoded
	}
	g := new(gogotypes.Struct)
	if err := gogojson.Unmarshal(bytes.NewReader(text), g); err != nil {
		panic(err)
	}
	wire, js, tx := must(proto.Marshal(v)), must(protojson.Marshal(v)), must(prototext.Marshal(v))
	vt := (*vtstruct.Struct)(v)
	All = append(
		All,
		Codec{
			Name: "protobuf", Encode: func() error { _, err := proto.Marshal(v); return err },
			Decode: func() error { return proto.Unmarshal(wire, new(structpb.Struct)) },
		},
		Codec{
			Name: "protojson", Encode: func() error { _, err := protojson.Marshal(v); return err },
			Decode: func() error { return protojson.Unmarshal(js, new(structpb.Struct)) },
		},
		Codec{
			Name: "prototext", Encode: func() error { _, err := prototext.Marshal(v); return err },
			Decode: func() error { return prototext.Unmarshal(tx, new(structpb.Struct)) },
		},
		Codec{
			Name: "vtproto", Encode: func() error { _, err := vt.MarshalVT(); return err },
			Decode: func() error { return new(vtstruct.Struct).UnmarshalVT(wire) },
		},
		Codec{
			Name: "gogo", Encode: func() error { _, err := g.Marshal(); return err },
			Decode: func() error { return new(gogotypes.Struct).Unmarshal(wire) },
		},
		Codec{
			Name: "gogo-proto", Encode: func() error { _, err := gogoproto.Marshal(g); return err },
			Decode: func() error { return gogoproto.Unmarshal(wire, new(gogotypes.Struct)) },
		},
		Codec{
			Name: "gogo-jsonpb", Encode: func() error { return new(gogojson.Marshaler).Marshal(new(bytes.Buffer), g) },
			Decode: func() error { return gogojson.Unmarshal(bytes.NewReader(js), new(gogotypes.Struct)) },
		},
	)
}
