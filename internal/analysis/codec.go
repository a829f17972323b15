package analysis

import (
	"regexp"
	"slices"
	"strings"
)

// codec is one serialization format's implementation.
type codec struct {
	name     string
	prefixes []string // package paths: the package itself and what lies below it
	always   way      // for packages that only go one way
}

// codecs is the table of codec packages. The first match wins, so more
// specific prefixes stand before those they begin with. Only packages stand
// here: generated methods in the application's own packages are told by name
// (see generatedCodec), and a function that merely sounds like a codec is
// listed as suspected and never counted.
var codecs = []*codec{
	{name: "encoding/json", prefixes: []string{"encoding/json"}},
	{name: "go-json-experiment", prefixes: []string{"github.com/go-json-experiment/json"}},
	{name: "jsoniter", prefixes: []string{"github.com/json-iterator/go", "github.com/modern-go/reflect2"}},
	{name: "sonic", prefixes: []string{"github.com/bytedance/sonic"}},
	{name: "goccy/go-json", prefixes: []string{"github.com/goccy/go-json"}},
	{name: "segmentio/encoding", prefixes: []string{"github.com/segmentio/encoding"}},
	{name: "easyjson", prefixes: []string{"github.com/mailru/easyjson/jlexer"}, always: decode},
	{name: "easyjson", prefixes: []string{"github.com/mailru/easyjson/jwriter"}, always: encode},
	{name: "easyjson", prefixes: []string{"github.com/mailru/easyjson"}},
	{name: "ffjson", prefixes: []string{"github.com/pquerna/ffjson"}},
	{name: "gojay", prefixes: []string{"github.com/francoispqt/gojay"}},
	{name: "jettison", prefixes: []string{"github.com/wI2L/jettison"}, always: encode},
	{name: "simdjson", prefixes: []string{"github.com/minio/simdjson-go"}, always: decode},
	{name: "fastjson", prefixes: []string{"github.com/valyala/fastjson"}},
	{name: "gjson", prefixes: []string{"github.com/tidwall/gjson"}, always: decode},
	{name: "sjson", prefixes: []string{"github.com/tidwall/sjson"}, always: encode},
	{name: "jsonparser", prefixes: []string{"github.com/buger/jsonparser"}, always: decode},
	{name: "ugorji", prefixes: []string{"github.com/ugorji/go/codec"}},
	{name: "protojson", prefixes: []string{
		"google.golang.org/protobuf/encoding/protojson", "google.golang.org/protobuf/internal/encoding/json",
		"github.com/golang/protobuf/jsonpb", "github.com/gogo/protobuf/jsonpb",
	}},
	{name: "protobuf", prefixes: []string{
		"google.golang.org/protobuf/proto", "google.golang.org/protobuf/internal/impl",
		"google.golang.org/protobuf/encoding", "google.golang.org/protobuf/internal/encoding", "github.com/golang/protobuf/proto",
		"google.golang.org/grpc/encoding/proto",
	}},
	{name: "gogo/protobuf", prefixes: []string{"github.com/gogo/protobuf"}},
	{name: "vtprotobuf", prefixes: []string{"github.com/planetscale/vtprotobuf"}},
	{name: "csproto", prefixes: []string{"github.com/CrowdStrike/csproto"}},
	{name: "msgpack", prefixes: []string{
		"github.com/vmihailenco/msgpack", "gopkg.in/vmihailenco/msgpack", "github.com/shamaton/msgpack",
		"github.com/hashicorp/go-msgpack",
	}},
	{name: "msgp", prefixes: []string{"github.com/tinylib/msgp"}},
	{name: "gob", prefixes: []string{"encoding/gob"}},
	{name: "cbor", prefixes: []string{"github.com/fxamacker/cbor"}},
	{name: "yaml", prefixes: []string{"gopkg.in/yaml.v2", "gopkg.in/yaml.v3", "go.yaml.in/yaml", "github.com/goccy/go-yaml", "sigs.k8s.io/yaml"}},
	{name: "encoding/xml", prefixes: []string{"encoding/xml"}},
	{name: "encoding/csv", prefixes: []string{"encoding/csv"}},
	{name: "encoding/binary", prefixes: []string{"encoding/binary"}},
	{name: "encoding/asn1", prefixes: []string{"encoding/asn1"}},
	{name: "toml", prefixes: []string{"github.com/pelletier/go-toml", "github.com/BurntSushi/toml"}},
	{name: "bson", prefixes: []string{
		"go.mongodb.org/mongo-driver/bson", "go.mongodb.org/mongo-driver/v2/bson", "go.mongodb.org/mongo-driver/x/bsonx",
		"go.mongodb.org/mongo-driver/v2/x/bsonx", "gopkg.in/mgo.v2/bson", "github.com/globalsign/mgo/bson",
	}},
	{name: "thrift", prefixes: []string{"github.com/apache/thrift/lib/go/thrift", "github.com/cloudwego/gopkg/protocol", "github.com/cloudwego/frugal"}},
	{name: "avro", prefixes: []string{"github.com/hamba/avro", "github.com/linkedin/goavro"}},
	{name: "capnp", prefixes: []string{"capnproto.org/go/capnp", "zombiezen.com/go/capnproto2"}},
	{name: "flatbuffers", prefixes: []string{"github.com/google/flatbuffers"}},
	{name: "arrow ipc", prefixes: []string{"github.com/apache/arrow/go/arrow/ipc", "github.com/apache/arrow-go/v18/arrow/ipc"}},
	{name: "parquet", prefixes: []string{"github.com/parquet-go/parquet-go", "github.com/segmentio/parquet-go", "github.com/xitongsys/parquet-go"}},
	{name: "mapstructure", prefixes: []string{"github.com/mitchellh/mapstructure", "github.com/go-viper/mapstructure"}, always: decode},
	// Maps, forms and queries into structs, by reflection as the codecs do.
	{name: "go-zero mapping", prefixes: []string{"github.com/zeromicro/go-zero/core/mapping"}, always: decode},
	{name: "form", prefixes: []string{
		"github.com/gorilla/schema", "github.com/go-playground/form", "github.com/ajg/form", "github.com/monoculum/formam", "github.com/google/go-querystring",
	}},
	{name: "k8s serializer", prefixes: []string{"k8s.io/apimachinery/pkg/runtime/serializer"}},
	{name: "prometheus text", prefixes: []string{"github.com/prometheus/common/expfmt"}},
}

// compressors are counted as compression wherever they occur.
var compressors = []*codec{
	{name: "compress", prefixes: []string{"compress"}},
	{name: "klauspost/compress", prefixes: []string{"github.com/klauspost/compress", "github.com/klauspost/pgzip"}},
	{name: "snappy", prefixes: []string{"github.com/golang/snappy"}},
	{name: "lz4", prefixes: []string{"github.com/pierrec/lz4"}},
	{name: "brotli", prefixes: []string{"github.com/andybalholm/brotli"}},
	{name: "zstd", prefixes: []string{"github.com/DataDog/zstd", "github.com/valyala/gozstd"}},
}

// match reports whether a package is one of the codec's or below one.
// Versions count as below: ".../msgpack/v5", and "arrow/v14".
func (c *codec) match(pkg string) bool {
	for _, p := range c.prefixes {
		if under(pkg, p) {
			return true
		}
	}
	return false
}

// under reports whether pkg is p or lies below it.
func under(pkg, p string) bool {
	return strings.HasPrefix(pkg, p) && (len(pkg) == len(p) || pkg[len(p)] == '/')
}

func codecOf(pkg string) *codec {
	for _, c := range codecs {
		if c.match(pkg) {
			return c
		}
	}
	return nil
}

func compressorOf(pkg string) *codec {
	for _, c := range compressors {
		if c.match(pkg) {
			return c
		}
	}
	return nil
}

// notCodec are functions in codec packages that are set-up and not work.
var notCodec = regexp.MustCompile(`\(\*Properties\)|\.init\b|^init|[Rr]egister|legacyLoad|[Dd]escriptor|\(\*weakMessage|pretouch|Pretouch`)

var (
	decodes = []string{"unmarshal", "decod", "deserializ"}
	encodes = []string{"marshal", "encod", "serializ"}
	reads   = []string{"parse", "read", "scan", "get", "lexer", "unpack", "consume", "unquote", "valid"}
	writes  = []string{"append", "write", "format", "print", "size", "emit", "pack", "compact", "indent"}
)

// direction tells from a function's name which way a codec goes; "" when the
// name does not say, and the next frame down is asked. "Unmarshal" holds
// "marshal", so decoding is tried first.
func direction(sym string) way {
	sym = strings.ToLower(sym)
	holds := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(sym, w) })
	}
	switch {
	case holds(decodes):
		return decode
	case holds(encodes):
		return encode
	case holds(reads):
		return decode
	case holds(writes):
		return encode
	}
	return noWay
}

// Generated and interface methods that stand in the application's packages.
// The first table's names say which codec they are; the second's mean a codec
// only in a generated file.
var (
	generatedNames = map[string]struct {
		codec string
		dir   way
	}{
		"UnmarshalJSON": {"encoding/json", decode}, "MarshalJSON": {"encoding/json", encode},
		"UnmarshalJSONFrom": {"encoding/json", decode}, "MarshalJSONTo": {"encoding/json", encode},
		"UnmarshalEasyJSON": {"easyjson", decode}, "MarshalEasyJSON": {"easyjson", encode},
		"UnmarshalJSONObject": {"gojay", decode}, "MarshalJSONObject": {"gojay", encode},
		"UnmarshalMsg": {"msgp", decode}, "DecodeMsg": {"msgp", decode}, "MarshalMsg": {"msgp", encode}, "EncodeMsg": {"msgp", encode},
		"DecodeMsgpack": {"msgpack", decode}, "EncodeMsgpack": {"msgpack", encode},
		"UnmarshalVT": {"vtprotobuf", decode}, "UnmarshalVTUnsafe": {"vtprotobuf", decode},
		"MarshalVT": {"vtprotobuf", encode}, "MarshalToVT": {"vtprotobuf", encode}, "MarshalToSizedBufferVT": {"vtprotobuf", encode},
		"MarshalToSizedBuffer": {"gogo/protobuf", encode}, "XXX_Unmarshal": {"protobuf", decode}, "XXX_Marshal": {"protobuf", encode},
		"UnmarshalBSON": {"bson", decode}, "MarshalBSON": {"bson", encode}, "UnmarshalBSONValue": {"bson", decode}, "MarshalBSONValue": {"bson", encode},
		"GobDecode": {"gob", decode}, "GobEncode": {"gob", encode},
		"UnmarshalCBOR": {"cbor", decode}, "MarshalCBOR": {"cbor", encode},
		"UnmarshalYAML": {"yaml", decode}, "MarshalYAML": {"yaml", encode},
		"UnmarshalXML": {"encoding/xml", decode}, "MarshalXML": {"encoding/xml", encode},
		"CodecDecodeSelf": {"ugorji", decode}, "CodecEncodeSelf": {"ugorji", encode},
	}
	generatedDirs = map[string]way{
		"Unmarshal": decode, "FastRead": decode,
		"Marshal": encode, "MarshalTo": encode, "FastWrite": encode, "FastWriteNocopy": encode, "Size": encode,
	}
	generatedFiles = []struct{ suffix, codec string }{
		{"_vtproto.pb.go", "vtprotobuf"},
		{".pb.fm.go", "csproto"},
		{".pb.go", "gogo/protobuf"},
		{"_easyjson.go", "easyjson"},
		{"_ffjson.go", "ffjson"},
		{".msgp.go", "msgp"},
		{"_codecgen.go", "ugorji"},
		{"_gen_msgp.go", "msgp"},
	}
	easyjsonFunc = regexp.MustCompile(`^easyjson[0-9A-Fa-f]+(Decode|Encode)`)
)

// byName finds the codec of that name, or makes it.
func byName(name string) *codec {
	for _, c := range codecs {
		if c.name == name && c.always == noWay {
			return c
		}
	}
	return &codec{name: name}
}

// generatedCodec tells a generated method from its name and file.
func generatedCodec(f *fn) (*codec, way) {
	if m := easyjsonFunc.FindStringSubmatch(f.sym); m != nil {
		if m[1] == "Decode" {
			return byName("easyjson"), decode
		}
		return byName("easyjson"), encode
	}
	if !strings.HasPrefix(f.sym, "(") && !strings.Contains(f.sym, ".") {
		return nil, noWay // a plain function: methods only
	}
	if g, ok := generatedNames[f.last]; ok {
		return byName(g.codec), g.dir
	}
	if dir, ok := generatedDirs[f.last]; ok {
		for _, g := range generatedFiles {
			if strings.HasSuffix(f.file, g.suffix) {
				return byName(g.codec), dir
			}
		}
	}
	return nil, noWay
}

// soundsLike matches names that suggest a codec, for the list of suspects.
var soundsLike = regexp.MustCompile(`(?i)^(un)?marshal|unmarshal$|marshal$|^(en|de)code|(en|de)code$|^(de)?seriali[sz]e|decoder\)|encoder\)`)

// notSuspect are packages whose decoding is not of values: protocol framing,
// text and image encodings, drivers, loggers.
var notSuspect = regexp.MustCompile(`hpack|unicode|encoding/(base64|hex|base32|pem|ascii85)|^image|/pgx|lib/pq|go-sql-driver|zap|zerolog|logrus|smithy|^net|^runtime|^crypto|golang.org/x/(net|text|crypto)|websocket`)

func suspected(f *fn) bool {
	return f.codec == nil && f.origin != originStd && soundsLike.MatchString(f.last) && !notSuspect.MatchString(f.pkg)
}
