package codecs

import (
	"bytes"
	"encoding/asn1"
	"encoding/csv"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"strconv"

	"github.com/BurntSushi/toml"
	"github.com/fxamacker/cbor/v2"
	"github.com/go-viper/mapstructure/v2"
	goccyyaml "github.com/goccy/go-yaml"
	"github.com/hamba/avro/v2"
	hmsgpack "github.com/hashicorp/go-msgpack/v2/codec"
	pelletier "github.com/pelletier/go-toml/v2"
	shamaton "github.com/shamaton/msgpack/v2"
	ugorji "github.com/ugorji/go/codec"
	"github.com/vmihailenco/msgpack/v5"
	bson1 "go.mongodb.org/mongo-driver/bson"
	bson2 "go.mongodb.org/mongo-driver/v2/bson"
	yamlv3 "gopkg.in/yaml.v3"
	k8syaml "sigs.k8s.io/yaml"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

func init() {
	add("msgpack", msgpack.Marshal, msgpack.Unmarshal)
	add("shamaton", shamaton.Marshal, shamaton.Unmarshal)
	add("hashicorp-msgpack", func(v any) (b []byte, err error) {
		return b, hmsgpack.NewEncoderBytes(&b, new(hmsgpack.MsgpackHandle)).Encode(v)
	}, func(b []byte, v any) error { return hmsgpack.NewDecoderBytes(b, new(hmsgpack.MsgpackHandle)).Decode(v) })
	for name, h := range map[string]ugorji.Handle{"ugorji-json": new(ugorji.JsonHandle), "ugorji-msgpack": new(ugorji.MsgpackHandle), "ugorji-cbor": new(ugorji.CborHandle)} {
		add(name, func(v any) (b []byte, err error) {
			err = ugorji.NewEncoderBytes(&b, h).Encode(v)
			return b, err
		}, func(b []byte, v any) error { return ugorji.NewDecoderBytes(b, h).Decode(v) })
	}
	add("cbor", cbor.Marshal, cbor.Unmarshal)
	add("bson1", bson1.Marshal, bson1.Unmarshal)
	add("bson2", bson2.Marshal, bson2.Unmarshal)
	add("yaml-v3", yamlv3.Marshal, yamlv3.Unmarshal)
	add("yaml-goccy", goccyyaml.Marshal, goccyyaml.Unmarshal)
	add("yaml-sigs", k8syaml.Marshal, func(b []byte, v any) error { return k8syaml.Unmarshal(b, v) })
	add("toml-pelletier", pelletier.Marshal, pelletier.Unmarshal)
	add("toml-burntsushi", func(v any) ([]byte, error) {
		var b bytes.Buffer
		err := toml.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	}, toml.Unmarshal)
	add("gob", func(v any) ([]byte, error) {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	}, func(b []byte, v any) error { return gob.NewDecoder(bytes.NewReader(b)).Decode(v) })
	addXML()
	addCSV()
	addAvro()
	addMaps()
	addASN1()
}

// plain is an item without the map that some codecs cannot encode.
type plain struct {
	ID    int64    `avro:"id"`
	Name  string   `avro:"name"`
	Price float64  `avro:"price"`
	Tags  []string `avro:"tags"`
	Live  bool     `avro:"live"`
}

func plains() (out []plain) {
	for _, it := range feed.Items {
		out = append(out, plain{it.ID, it.Name, it.Price, it.Tags, it.Live})
	}
	return out
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // what this package encodes is known
	}
	return v
}

func addXML() {
	type doc struct{ Items []plain }
	v := doc{plains()}
	b := must(xml.Marshal(v))
	All = append(All, Codec{
		Name: "xml", Encode: func() error { _, err := xml.Marshal(v); return err },
		Decode: func() error { return xml.Unmarshal(b, new(doc)) },
	})
}

func addCSV() {
	var rows [][]string
	for _, it := range feed.Items {
		rows = append(rows, []string{strconv.FormatInt(it.ID, 10), it.Name, "a, b", `say "x"`})
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		panic(err) // a buffer takes everything
	}
	All = append(All, Codec{
		Name:   "csv",
		Encode: func() error { return csv.NewWriter(new(bytes.Buffer)).WriteAll(rows) },
		Decode: func() error { _, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll(); return err },
	})
}

func addAvro() {
	schema := avro.MustParse(`{"type":"array","items":{"type":"record","name":"item","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},
		{"name":"price","type":"double"},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"live","type":"boolean"}]}}`)
	v := plains()
	b := must(avro.Marshal(schema, v))
	All = append(All, Codec{
		Name: "avro", Encode: func() error { _, err := avro.Marshal(schema, v); return err },
		Decode: func() error { var out []plain; return avro.Unmarshal(schema, b, &out) },
	})
}

func addMaps() {
	var m map[string]any
	if err := json.Unmarshal(must(json.Marshal(feed)), &m); err != nil {
		panic(err) // it was just encoded
	}
	All = append(All, Codec{Name: "mapstructure", Decode: func() error { return mapstructure.Decode(m, new(svc.Feed)) }})
}

func addASN1() {
	type row struct {
		ID   int64
		Name string
		Tags []string
	}
	var v []row
	for _, it := range feed.Items {
		v = append(v, row{it.ID, it.Name, it.Tags})
	}
	b := must(asn1.Marshal(v))
	All = append(All, Codec{
		Name: "asn1", Encode: func() error { _, err := asn1.Marshal(v); return err },
		Decode: func() error { var out []row; _, err := asn1.Unmarshal(b, &out); return err },
	})
}
