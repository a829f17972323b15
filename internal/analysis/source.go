package analysis

import (
	"regexp"
	"strings"
)

// source is a function where bytes come from.
type source struct {
	kind SourceKind
	via  string
	how  sourceHow
}

// sourceHow says in which position a source function counts.
type sourceHow uint8

const (
	// storeCall hands out bytes when it returns, or decodes by itself.
	storeCall sourceHow = iota
	// reader hands out bytes while it is read: below a decoder, or in a
	// sibling call such as io.ReadAll.
	reader
	// binder reads and decodes in one: it counts only above the decoder.
	binder
)

// store is a client of a byte store. Object caches (ristretto, otter,
// golang-lru, go-cache, ttlcache) hold live objects and decode nothing: they
// are not here, since counting them would put blame where there is none.
type store struct {
	name     string
	kind     SourceKind
	prefixes []string
}

var stores = []*store{
	{"go-redis", SourceCache, []string{"github.com/redis/go-redis", "github.com/go-redis/redis", "gopkg.in/redis.v5"}},
	{"go-redis/cache", SourceCache, []string{"github.com/go-redis/cache"}},
	{"rueidis", SourceCache, []string{"github.com/redis/rueidis"}},
	{"redigo", SourceCache, []string{"github.com/gomodule/redigo", "github.com/garyburd/redigo"}},
	{"radix", SourceCache, []string{"github.com/mediocregopher/radix"}},
	{"valkey-go", SourceCache, []string{"github.com/valkey-io/valkey-go"}},
	{"gomemcache", SourceCache, []string{"github.com/bradfitz/gomemcache"}},
	{"freecache", SourceCache, []string{"github.com/coocood/freecache"}},
	{"bigcache", SourceCache, []string{"github.com/allegro/bigcache"}},
	{"fastcache", SourceCache, []string{"github.com/VictoriaMetrics/fastcache"}},
	{"groupcache", SourceCache, []string{"github.com/golang/groupcache", "github.com/mailgun/groupcache"}},
	{"badger", SourceDB, []string{"github.com/dgraph-io/badger"}},
	{"bbolt", SourceDB, []string{"go.etcd.io/bbolt", "github.com/boltdb/bolt"}},
	{"pebble", SourceDB, []string{"github.com/cockroachdb/pebble"}},
	{"leveldb", SourceDB, []string{"github.com/syndtr/goleveldb"}},
	{"pgx", SourceDB, []string{"github.com/jackc/pgx", "github.com/jackc/pgconn"}},
	{"lib/pq", SourceDB, []string{"github.com/lib/pq"}},
	{"mysql", SourceDB, []string{"github.com/go-sql-driver/mysql"}},
	{"sqlite", SourceDB, []string{"modernc.org/sqlite", "github.com/mattn/go-sqlite3"}},
	{"gocql", SourceDB, []string{"github.com/gocql/gocql", "github.com/apache/cassandra-gocql-driver"}},
	{"mongo", SourceDB, []string{"go.mongodb.org/mongo-driver/mongo", "go.mongodb.org/mongo-driver/v2/mongo", "go.mongodb.org/mongo-driver/x/mongo", "go.mongodb.org/mongo-driver/v2/x/mongo"}},
	{"dynamodb", SourceDB, []string{"github.com/aws/aws-sdk-go-v2/service/dynamodb", "github.com/aws/aws-sdk-go/service/dynamodb"}},
	{"etcd", SourceDB, []string{"go.etcd.io/etcd/client"}},
	{"database/sql", SourceDB, []string{"database/sql"}},
	{"kafka", SourceQueue, []string{"github.com/segmentio/kafka-go", "github.com/IBM/sarama", "github.com/Shopify/sarama", "github.com/twmb/franz-go", "github.com/confluentinc/confluent-kafka-go"}},
	{"nats", SourceQueue, []string{"github.com/nats-io/nats.go"}},
	{"amqp", SourceQueue, []string{"github.com/rabbitmq/amqp091-go", "github.com/streadway/amqp"}},
	{"pulsar", SourceQueue, []string{"github.com/apache/pulsar-client-go"}},
	{"nsq", SourceQueue, []string{"github.com/nsqio/go-nsq"}},
	{"sqs", SourceQueue, []string{"github.com/aws/aws-sdk-go-v2/service/sqs"}},
}

func storeOf(pkg string) *store {
	for _, s := range stores {
		for _, p := range s.prefixes {
			if under(pkg, p) {
				return s
			}
		}
	}
	return nil
}

// sourceFuncs are sources told by function, matched on the full name.
var sourceFuncs = []struct {
	match *regexp.Regexp
	source
}{
	{regexp.MustCompile(`^net/http\.\(\*(body|http2requestBody|maxBytesReader)\)\.`), source{SourceRequest, "net/http", reader}},
	{regexp.MustCompile(`^golang\.org/x/net/http2\.\(\*requestBody\)\.`), source{SourceRequest, "net/http", reader}},
	{regexp.MustCompile(`^net/http\.(\(\*(bodyEOFSignal|http2gzipReader|gzipReader)\)|http2transportResponseBody)\.`), source{SourceReply, "net/http", reader}},
	{regexp.MustCompile(`^golang\.org/x/net/http2\.transportResponseBody\.`), source{SourceReply, "net/http", reader}},
	{regexp.MustCompile(`^github\.com/valyala/fasthttp\.\(\*(Request|RequestCtx)\)\.(Body|PostBody|BodyUncompressed|BodyStream)`), source{SourceRequest, "fasthttp", reader}},
	{regexp.MustCompile(`^github\.com/valyala/fasthttp\.\(\*(Client|HostClient)\)\.`), source{SourceReply, "fasthttp", storeCall}},
	{regexp.MustCompile(`^github\.com/gofiber/fiber.*\.\(\*(Ctx|DefaultCtx)\)\.Body(Raw)?$`), source{SourceRequest, "fiber", reader}},
	{regexp.MustCompile(`^github\.com/gofiber/fiber.*\.(\(\*(Ctx|DefaultCtx)\)\.(BodyParser|QueryParser)|\(\*Bind\)\.)`), source{SourceRequest, "fiber", binder}},
	{regexp.MustCompile(`^github\.com/gin-gonic/gin\.\(\*Context\)\.(Should|Must)?Bind`), source{SourceRequest, "gin", binder}},
	{regexp.MustCompile(`^github\.com/gin-gonic/gin\.\(\*Context\)\.GetRawData`), source{SourceRequest, "gin", reader}},
	{regexp.MustCompile(`^github\.com/gin-gonic/gin/binding\.`), source{SourceRequest, "gin", binder}},
	{regexp.MustCompile(`^github\.com/labstack/echo.*\.(\(\*DefaultBinder\)\.Bind|\(\*context\)\.Bind|DefaultJSONSerializer\.Deserialize|BindBody)`), source{SourceRequest, "echo", binder}},
	{regexp.MustCompile(`^github\.com/go-chi/render\.(Bind|Decode|DefaultDecoder|DecodeJSON)`), source{SourceRequest, "chi", binder}},
	{regexp.MustCompile(`^github\.com/cloudwego/hertz/pkg/app\.\(\*RequestContext\)\.Bind`), source{SourceRequest, "hertz", binder}},
	{regexp.MustCompile(`^github\.com/zeromicro/go-zero/rest/httpx\.Parse`), source{SourceRequest, "go-zero", binder}},
	{regexp.MustCompile(`^github\.com/danielgtaylor/huma.*\.(readBody|processInputField|parseBody)`), source{SourceRequest, "huma", binder}},
	{regexp.MustCompile(`^github\.com/grpc-ecosystem/grpc-gateway.*/runtime\.(Decoder(Wrapper|Func)\.|decodeJSONPb|\(\*JSONPb\)\.(Unmarshal|NewDecoder))`), source{SourceRequest, "gateway", binder}},
	{regexp.MustCompile(`^google\.golang\.org/grpc\.\(\*(serverStream|Server)\)\.(RecvMsg|processUnaryRPC|processStreamingRPC)`), source{SourceRequest, "gRPC", binder}},
	{regexp.MustCompile(`^google\.golang\.org/grpc\.(\(\*(clientStream|csAttempt|addrConnStream|ClientConn)\)\.(RecvMsg|recvMsg|Invoke)|invoke)`), source{SourceReply, "gRPC", binder}},
	{regexp.MustCompile(`^(connectrpc\.com/connect|github\.com/bufbuild/connect-go)\.(receiveUnaryRequest|\(\*connectUnaryHandlerConn\)|\(\*(connect|grpc).*HandlerConn\))`), source{SourceRequest, "connect", binder}},
	{regexp.MustCompile(`^(connectrpc\.com/connect|github\.com/bufbuild/connect-go)\.(receiveUnaryResponse|\(\*(connect|grpc).*ClientConn\))`), source{SourceReply, "connect", binder}},
	{regexp.MustCompile(`^github\.com/go-resty/resty.*\.(parseResponseBody|Unmarshalc)`), source{SourceReply, "resty", binder}},
	{regexp.MustCompile(`^github\.com/gorilla/websocket\.\(\*Conn\)\.(ReadMessage|ReadJSON|NextReader)|\(\*messageReader\)\.Read`), source{SourceRequest, "websocket", reader}},
	{regexp.MustCompile(`^net/http\.\(\*Client\)\.(do|Do)$`), source{SourceReply, "net/http", storeCall}},
	{regexp.MustCompile(`^os\.(ReadFile|\(\*File\)\.Read)$`), source{SourceUnknown, "file", reader}},
}

// carriers read all of a reader. In allocs stacks they are the last frame, and
// what they read from does not show.
var carriers = regexp.MustCompile(`^(io\.(ReadAll|Copy|CopyN|CopyBuffer|copyBuffer|ReadFull|ReadAtLeast)|io/ioutil\.ReadAll|bytes\.\(\*Buffer\)\.ReadFrom)$`)

// memoryReaders make a reader of bytes that the process has already.
var memoryReaders = regexp.MustCompile(`^(bytes\.(NewReader|NewBuffer|NewBufferString)|strings\.NewReader|compress/\w+\.NewReader|github\.com/klauspost/compress/\w+\.NewReader|github\.com/golang/snappy\.NewReader)$`)

func sourceOf(f *fn) *source {
	if f.pkg == "database/sql" {
		// Only what moves rows; the rest is pool upkeep.
		return &source{SourceDB, "database/sql", storeCall}
	}
	if s := storeOf(f.pkg); s != nil {
		return &source{s.kind, s.name, storeCall}
	}
	for i := range sourceFuncs {
		if strings.HasPrefix(f.name, sourcePrefixes[i]) && sourceFuncs[i].match.MatchString(f.name) {
			return &sourceFuncs[i].source
		}
	}
	return nil
}

// cacheName matches function names that suggest a cache: weak evidence, used
// when there is no other.
var cacheName = regexp.MustCompile(`(?i)cache|redis|memcache`)
