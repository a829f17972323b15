package analysis

import (
	"regexp"
	"strings"
)

// frameworks are packages that stand between a connection and a handler.
// Nothing in them is ever a handler.
var frameworks = []string{
	"net/http", "golang.org/x/net/http2", "vendor/golang.org/x/net/http2",
	"github.com/gorilla/mux", "github.com/gorilla/handlers", "github.com/go-chi/chi", "github.com/gin-gonic/gin", "github.com/gin-contrib",
	"github.com/labstack/echo", "github.com/labstack/gommon", "github.com/gofiber/fiber", "github.com/gofiber/contrib", "github.com/valyala/fasthttp",
	"github.com/fasthttp/router", "github.com/julienschmidt/httprouter", "github.com/dimfeld/httptreemux", "github.com/bmizerany/pat", "github.com/urfave/negroni",
	"google.golang.org/grpc", "connectrpc.com/connect", "github.com/bufbuild/connect-go", "github.com/twitchtv/twirp", "github.com/grpc-ecosystem",
	"github.com/go-kratos/kratos", "github.com/zeromicro/go-zero", "github.com/cloudwego/hertz", "github.com/cloudwego/kitex", "github.com/cloudwego/netpoll",
	"github.com/bytedance/gopkg/util/gopool", "github.com/kataras/iris", "github.com/beego/beego", "github.com/gobuffalo/buffalo", "github.com/emicklei/go-restful",
	"github.com/go-openapi/runtime", "github.com/danielgtaylor/huma", "github.com/go-kit/kit/transport", "github.com/savsgio/atreugo", "github.com/uptrace/bunrouter",
	"github.com/rs/cors", "github.com/justinas/alice", "github.com/felixge/httpsnoop", "github.com/NYTimes/gziphandler", "github.com/klauspost/compress/gzhttp",
	"go.opentelemetry.io/contrib", "gopkg.in/DataDog/dd-trace-go.v1/contrib", "github.com/DataDog/dd-trace-go", "github.com/prometheus/client_golang/prometheus/promhttp",
	"storj.io/drpc", "github.com/lucas-clemente/quic-go/http3", "github.com/quic-go/quic-go",
}

func frameworkOf(pkg string) bool {
	if pkg == "net/http/pprof" {
		return false // its handlers are endpoints
	}
	for _, p := range frameworks {
		if under(pkg, p) {
			return true
		}
	}
	return false
}

// serverRoots start the goroutine that serves a connection, a request or a
// stream. Some servers run on generic pools: the mark may be a few frames down.
var serverRoots = regexp.MustCompile(`^(net/http\.\(\*conn\)\.serve|net/http\.\(\*http2serverConn\)\..*|golang\.org/x/net/http2\.\(\*serverConn\)\..*|` +
	`net/http\.serverHandler\.ServeHTTP|github\.com/valyala/fasthttp\.\(\*(workerPool|Server)\)\..*|google\.golang\.org/grpc\.\(\*Server\)\..*|` +
	`google\.golang\.org/grpc/internal/transport\.\(\*(http2Server|serverHandlerTransport)\)\..*|github\.com/cloudwego/(hertz/pkg/route\.\(\*Engine\)|netpoll\.\(\*connection\)|kitex/.*)\..*|` +
	`storj\.io/drpc/drpcserver\..*|github\.com/quic-go/quic-go/http3\.\(\*Server\)\..*|net/http/httptest\..*|net/rpc\.\(\*service\)\.call)`)

// serverMarkDepth is how deep below the root a server's mark may lie.
const serverMarkDepth = 8

// rpcGlue matches generated functions that name service and method:
// "_FeedService_Spin_Handler" (protoc-gen-go-grpc), "_Feed_Spin0_HTTP_Handler"
// (protoc-gen-go-http).
var rpcGlue = regexp.MustCompile(`^_([A-Za-z0-9]+)_([A-Za-z0-9_]+?)(\d+_HTTP)?_Handler(\.func[\d.]+)?$`)

// gateways match what grpc-gateway generates: a closure for each method, which
// calls a function that names service and method.
var (
	gateway = regexp.MustCompile(`^Register(\w+)Handler(?:Client|Server)?\.func[\d.]+$`)
	gwCall  = regexp.MustCompile(`^(?:local_)?request_([A-Za-z0-9]+)_([A-Za-z0-9_]+)_\d+$`)
)

// nexts are the names under which frameworks call the next handler.
var nexts = regexp.MustCompile(`^(ServeHTTP|ServeHTTPContext|ServeHTTPC|Next|next|handleHTTPRequest|routeHTTP|handler|requestHandler|defaultRequestHandler|handleStream|processUnaryRPC|processStreamingRPC|processRPC|Handle|handle|HandlerFunc|Serve|ServeConn|invoke|chainUnaryInterceptors|chainStreamInterceptors|wrapUnaryHandler|ServeFastHTTP|Handler|ProcessFilter|ContinueHandle|Process)$`)

func classifyServer(f *fn) {
	if serverRoots.MatchString(f.name) {
		f.flags |= isServerRoot
	}
	switch {
	case rpcGlue.MatchString(f.sym):
		f.flags |= isRPCGlue
	case gateway.MatchString(f.sym) && strings.HasSuffix(f.file, ".pb.gw.go"):
		f.flags |= isGateway
	}
	server := frameworkOf(f.pkg)
	if server && f.origin != originApp {
		f.flags |= isServer
	}
	if f.origin != originApp && (f.last == "ServeHTTP" || server && dispatches(f)) {
		f.flags |= isDispatcher
	}
}

// dispatches reports whether a framework's function is one of those that call
// the next handler.
func dispatches(f *fn) bool {
	return (f.has(isClosure) || nexts.MatchString(f.last)) && !writerLike.MatchString(f.sym)
}

// writerLike are framework functions that a handler calls, not that call it.
var writerLike = regexp.MustCompile(`(?i)response|writer|client|\(\*(Transport|persistConn|body|Request)\)|http2Transport|ReadFrom`)

// rpcName names the endpoint of a generated glue function: "FeedService/Spin".
func rpcName(f *fn) string {
	m := rpcGlue.FindStringSubmatch(f.sym)
	if m == nil {
		return ""
	}
	// A method name may hold underscores, and so may a service's: the first
	// underscore is the better guess, since services are CamelCase.
	return m[1] + "/" + strings.TrimSuffix(m[2], "_")
}
