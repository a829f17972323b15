package codecs

import (
	"bytes"
	stdjson "encoding/json"

	"github.com/buger/jsonparser"
	"github.com/bytedance/sonic"
	"github.com/francoispqt/gojay"
	exp "github.com/go-json-experiment/json"
	goccy "github.com/goccy/go-json"
	jsoniter "github.com/json-iterator/go"
	"github.com/minio/simdjson-go"
	segmentio "github.com/segmentio/encoding/json"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"github.com/valyala/fastjson"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

func init() {
	add("json", stdjson.Marshal, stdjson.Unmarshal)
	add("json-stream", func(v any) ([]byte, error) {
		var b bytes.Buffer
		err := stdjson.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	}, func(b []byte, v any) error { return stdjson.NewDecoder(bytes.NewReader(b)).Decode(v) })
	fast := jsoniter.ConfigFastest
	add("jsoniter", fast.Marshal, fast.Unmarshal)
	add("jsoniter-std", jsoniter.Marshal, jsoniter.Unmarshal)
	add("segmentio", segmentio.Marshal, segmentio.Unmarshal)
	add("goccy", goccy.Marshal, goccy.Unmarshal)
	add("sonic", sonic.Marshal, sonic.Unmarshal)
	add("json-experiment", func(v any) ([]byte, error) { return exp.Marshal(v) }, func(b []byte, v any) error { return exp.Unmarshal(b, v) })

	text, err := stdjson.Marshal(feed)
	if err != nil {
		panic(err) // the value above cannot be encoded
	}
	var parser fastjson.Parser
	var found int
	All = append(
		All,
		Codec{Name: "json-any", Decode: func() error { var v any; return stdjson.Unmarshal(text, &v) }},
		Codec{Name: "fastjson", Decode: func() error { _, err := parser.ParseBytes(text); return err }},
		Codec{Name: "gjson", Decode: func() error {
			found += len(gjson.GetBytes(text, "items.#.name").Array())
			return nil
		}},
		Codec{Name: "sjson", Encode: func() error { _, err := sjson.SetBytes(text, "items.20.name", "new"); return err }},
		Codec{Name: "jsonparser", Decode: func() error {
			_, err := jsonparser.ArrayEach(text, func(v []byte, _ jsonparser.ValueType, _ int, _ error) {
				s, _ := jsonparser.GetString(v, "name")
				found += len(s)
			}, "items")
			return err
		}},
		Codec{
			Name: "gojay", Encode: func() error { _, err := gojay.MarshalJSONObject((*gojayFeed)(feed)); return err },
			Decode: func() error { return gojay.UnmarshalJSONObject(text, new(gojayFeed)) },
		},
	)
	if simdjson.SupportedCPU() {
		var reuse *simdjson.ParsedJson
		All = append(All, Codec{Name: "simdjson", Decode: func() (err error) { reuse, err = simdjson.Parse(text, reuse); return err }})
	}
}

// gojayFeed and its parts are what gojay's users write by hand.
type (
	gojayFeed  svc.Feed
	gojayItems []svc.Item
	gojayItem  svc.Item
)

func (f *gojayFeed) IsNil() bool { return f == nil }
func (f *gojayFeed) NKeys() int  { return 0 }
func (s gojayItems) IsNil() bool { return s == nil }
func (i *gojayItem) IsNil() bool { return i == nil }
func (i *gojayItem) NKeys() int  { return 0 }
func (f *gojayFeed) MarshalJSONObject(e *gojay.Encoder) {
	e.StringKey("id", f.ID)
	e.StringKey("title", f.Title)
	e.ArrayKey("items", gojayItems(f.Items))
}

func (s gojayItems) MarshalJSONArray(e *gojay.Encoder) {
	for i := range s {
		e.Object((*gojayItem)(&s[i]))
	}
}

func (i *gojayItem) MarshalJSONObject(e *gojay.Encoder) {
	e.Int64Key("id", i.ID)
	e.StringKey("name", i.Name)
	e.Float64Key("price", i.Price)
	e.BoolKey("live", i.Live)
}

func (f *gojayFeed) UnmarshalJSONObject(d *gojay.Decoder, k string) error {
	switch k {
	case "id":
		return d.String(&f.ID)
	case "title":
		return d.String(&f.Title)
	case "items":
		return d.Array((*gojayItems)(&f.Items))
	}
	return nil
}

func (s *gojayItems) UnmarshalJSONArray(d *gojay.Decoder) error {
	var i gojayItem
	err := d.Object(&i)
	*s = append(*s, svc.Item(i))
	return err
}

func (i *gojayItem) UnmarshalJSONObject(d *gojay.Decoder, k string) error {
	switch k {
	case "id":
		return d.Int64(&i.ID)
	case "name":
		return d.String(&i.Name)
	case "price":
		return d.Float64(&i.Price)
	case "live":
		return d.Bool(&i.Live)
	}
	return nil
}
