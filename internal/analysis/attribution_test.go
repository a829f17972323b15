package analysis

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAttribution has a row for every way in which a stack finds its endpoint,
// with what must not be taken for one beside it.
func TestAttribution(t *testing.T) {
	const (
		conn = "net/http.(*conn).serve;net/http.serverHandler.ServeHTTP;"
		lib  = "github.com/some/router." // no table knows it
	)
	for _, tc := range []struct {
		name   string
		stacks map[string]int64
		want   map[string]int64 // samples by endpoint
	}{
		{"a framework nobody knows", map[string]int64{
			conn + lib + "(*Mux).ServeHTTP;" + lib + "(*Mux).next;main.auth.func1#3;" + lib + "(*Mux).next;main.list#4;main.work": 50,
			conn + lib + "(*Mux).ServeHTTP;" + lib + "(*Mux).next;main.auth.func1#3;" + lib + "(*Mux).next;main.user#4;main.work": 50,
			conn + lib + "(*Mux).ServeHTTP;" + lib + "(*Mux).next;main.auth.func1#2;main.verify":                                  30,
		}, map[string]int64{"list": 50, "user": 50, "(middleware) auth.func1": 30}},
		{"a handler that uses its framework is no middleware", map[string]int64{
			conn + "github.com/gin-gonic/gin.(*Context).Next;main.list#4;github.com/gin-gonic/gin.(*Context).JSON;github.com/gin-gonic/gin/render.JSON.Render.func1": 40,
			conn + "github.com/gin-gonic/gin.(*Context).Next;main.list#3;main.work":                                                                                  60,
		}, map[string]int64{"list": 100}},
		{"a library's handler is one endpoint", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;github.com/prometheus/client_golang/prometheus/promhttp.HandlerFor.func1;github.com/prometheus/client_golang/prometheus.(*Registry).Gather": 60,
			conn + "net/http.HandlerFunc.ServeHTTP;github.com/prometheus/client_golang/prometheus/promhttp.HandlerFor.func1;compress/gzip.(*Writer).Write":                                     40,
		}, map[string]int64{"promhttp.HandlerFor": 100}},
		{"a gauge's function is called back, not requested", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;github.com/prometheus/client_golang/prometheus/promhttp.HandlerFor.func1;github.com/prometheus/client_golang/prometheus.(*valueFunc).Write;main.size.func1": 30,
			conn + "net/http.HandlerFunc.ServeHTTP;github.com/prometheus/client_golang/prometheus/promhttp.HandlerFor.func1;github.com/prometheus/client_golang/prometheus.(*Registry).Gather":                 70,
		}, map[string]int64{"promhttp.HandlerFor": 100}},
		{"gRPC before and after 1.70", map[string]int64{
			"google.golang.org/grpc.(*Server).serveStreams.func1.2;google.golang.org/grpc.(*Server).handleStream;google.golang.org/grpc.(*Server).processUnaryRPC;pb._KV_Range_Handler;main.(*kv).Range": 50,
			"google.golang.org/grpc.(*Server).serveStreams.func2.1;google.golang.org/grpc.(*Server).handleStream;google.golang.org/grpc.(*Server).processRPC;pb._KV_Put_Handler;main.(*kv).Put":          50,
		}, map[string]int64{"KV/Range": 50, "KV/Put": 50}},
		{"a gateway's closures by the method they call", map[string]int64{
			conn + "github.com/grpc-ecosystem/grpc-gateway/v2/runtime.(*ServeMux).ServeHTTP;api/gw.RegisterKVHandlerClient.func1@kv.pb.gw.go;github.com/grpc-ecosystem/grpc-gateway/v2/runtime.ForwardResponseMessage": 60,
			conn + "github.com/grpc-ecosystem/grpc-gateway/v2/runtime.(*ServeMux).ServeHTTP;api/gw.RegisterKVHandlerClient.func1@kv.pb.gw.go;api/gw.request_KV_Range_0;google.golang.org/grpc.(*ClientConn).Invoke":    10,
		}, map[string]int64{"KV/Range (gateway)": 70}},
		{"a switch", map[string]int64{
			conn + "main.(*site).ServeHTTP#10;main.(*site).serveList;main.work": 40,
			conn + "main.(*site).ServeHTTP#12;main.(*site).serveUser;main.work": 40,
			conn + "main.(*site).ServeHTTP#8;main.logRequest":                   20,
		}, map[string]int64{"(*site).serveList": 40, "(*site).serveUser": 40, "(middleware) (*site).ServeHTTP": 20}},
		{"a handler that calls two helpers is no switch", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;main.list#10;main.load;main.work":   40,
			conn + "net/http.HandlerFunc.ServeHTTP;main.list#12;main.render;main.work": 40,
		}, map[string]int64{"list": 80}},
		{"reflection", map[string]int64{
			conn + "main.(*rpc).ServeHTTP#9;reflect.Value.Call;reflect.Value.call;main.(*api).Live;main.work": 40,
			conn + "main.(*rpc).ServeHTTP#9;reflect.Value.Call;reflect.Value.call;main.(*api).User;main.work": 40,
			conn + "main.(*rpc).ServeHTTP#9;reflect.Value.Call;reflect.Value.call;main.(*api).Gift;main.work": 40,
			conn + "main.(*rpc).ServeHTTP#9;reflect.Value.Call;reflect.Value.call;main.(*api).Shop;main.work": 40,
		}, map[string]int64{"(*api).Live": 40, "(*api).User": 40, "(*api).Gift": 40, "(*api).Shop": 40}},
		{"a wrapper's wrapper", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;main.(*API).Register.func1.1#5;main.(*API).Register.func2.1#7;main.(*API).query;main.work":  40,
			conn + "net/http.HandlerFunc.ServeHTTP;main.(*API).Register.func1.1#5;main.(*API).Register.func2.1#7;main.(*API).series;main.work": 40,
			conn + "net/http.HandlerFunc.ServeHTTP;main.(*API).Register.func1.1#9;main.(*API).respond;encoding/json.Marshal":                   40,
		}, map[string]int64{"(*API).query": 40, "(*API).series": 40, "(middleware) (*API).Register.func1.1": 40}},
		{"an application that is its own framework", map[string]int64{
			conn + "main.(*server).ServeHTTP#3;main.wrap.func1#4;main.(*encode).ServeHTTP#5;main.wrap.func1#4;main.(*files).ServeHTTP#6;main.work":           60,
			conn + "main.(*server).ServeHTTP#3;main.wrap.func1#4;main.(*encode).ServeHTTP#5;main.(*gzipWriter).Close;compress/flate.(*Writer).Close":         30,
			conn + "main.(*server).ServeHTTP#3;main.wrap.func1#4;main.(*encode).ServeHTTP#5;main.wrap.func1#4;main.(*proxy).ServeHTTP#6;net/http.NewRequest": 30,
		}, map[string]int64{"(*files).ServeHTTP": 60, "(*proxy).ServeHTTP": 30, "(middleware) (*encode).ServeHTTP": 30}},
		{"a protocol of its own", map[string]int64{
			"main.(*srv).handleConn#3;main.(*srv).step#9;main.(*srv).Get;main.work":  40,
			"main.(*srv).handleConn#3;main.(*srv).step#9;main.(*srv).Set;main.work":  40,
			"main.(*srv).handleConn#3;main.(*srv).step#9;main.(*srv).Del;main.work":  40,
			"main.(*srv).handleConn#3;main.(*srv).step#9;main.(*srv).Scan;main.work": 40,
		}, map[string]int64{"(*srv).Get": 40, "(*srv).Set": 40, "(*srv).Del": 40, "(*srv).Scan": 40}},
		{"goroutines of goroutines", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;main.query#3;main.parallel": 40,
			"main.parallel.func1;main.unpack":                                  40,
			"main.unpack.func1;main.decode":                                    40,
			"main.ticker.func1;main.sweep":                                     40,
		}, map[string]int64{"query": 120, "goroutine sweep": 40}},
		{"goroutines that a library starts", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;main.metrics#3;github.com/some/metrics.(*Registry).Gather": 40,
			"github.com/some/metrics.(*Registry).Gather.func1;main.collector.Collect":                         60,
		}, map[string]int64{"metrics": 100}},
		{"a registrar is no starter", map[string]int64{
			conn + "net/http.HandlerFunc.ServeHTTP;main.serve.func2#3;main.work": 50,
			"main.serve.func1;main.poll":                                         50,
		}, map[string]int64{"serve.func2": 50, "goroutine poll": 50}},
		{"a wrapped connection", map[string]int64{
			"net/http.(*conn).serve;bufio.(*Reader).fill;net/http.(*connReader).Read;main.(*statConn).Read;net.(*conn).Read": 50,
			conn + "net/http.HandlerFunc.ServeHTTP;main.list#3;main.work":                                                    50,
		}, map[string]int64{"list": 50}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(tc.stacks)}}, Options{AppPrefixes: []string{"main"}})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for _, e := range res.Report.Endpoints {
				got[e.Name] = e.Share.Samples
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("endpoints (-want +got):\n%s\nother: %+v", d, res.Report.Other)
			}
		})
	}
}

// TestPackageNames: the linker escapes dots, GOPATH builds name vendored
// packages by their directory.
func TestPackageNames(t *testing.T) {
	for in, want := range map[string][2]string{
		"github.com/nats-io/nats%2ego.(*Conn).waitForMsgs":          {"github.com/nats-io/nats.go", "(*Conn).waitForMsgs"},
		"gopkg.in/yaml.v3.Unmarshal":                                {"gopkg.in/yaml.v3", "Unmarshal"},
		"example.com/app/vendor/github.com/x/y.F":                   {"github.com/x/y", "F"},
		"vendor/golang.org/x/net/http2/hpack.(*Encoder).WriteField": {"vendor/golang.org/x/net/http2/hpack", "(*Encoder).WriteField"},
		"main.main":     {"main", "main"},
		"indexbytebody": {"", "indexbytebody"},
		"example.com/a.Map[go.shape.string,go.shape.int].Range.func1": {"example.com/a", "Map.Range.func1"},
	} {
		f := newFn(in, "", 0)
		if f.pkg != want[0] || f.sym != want[1] {
			t.Errorf("%s: %q %q, want %q", in, f.pkg, f.sym, want)
		}
	}
}

// TestNamesAreUnique: everything after attribution goes by an endpoint's name.
func TestNamesAreUnique(t *testing.T) {
	app := "net/http.(*conn).serve;net/http.serverHandler.ServeHTTP;net/http.HandlerFunc.ServeHTTP;example.com/app/"
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(map[string]int64{
		app + "user.(*Handler).Get;example.com/app/store.Load":  150,
		app + "order.(*Handler).Get;regexp.(*Regexp).FindIndex": 150,
	})}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, e := range res.Report.Endpoints {
		got[e.Name] = e.Share.Samples
	}
	if d := cmp.Diff(map[string]int64{"user.(*Handler).Get": 150, "order.(*Handler).Get": 150}, got); d != "" {
		t.Error(d)
	}
	for _, f := range res.Report.Findings {
		if f.Endpoint != "order.(*Handler).Get" {
			t.Errorf("finding %s of %q", f.Rule, f.Endpoint)
		}
	}
	for _, dir := range []string{"corpus", "lab"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.cpu.pb.gz"))
		if err != nil || len(files) == 0 {
			t.Fatal("no profiles", err)
		}
		for _, file := range files {
			var first []byte
			for range 3 {
				res, err := Analyze([]PodProfiles{{Pod: "a", CPU: loadFrom(t, dir, filepath.Base(file))}}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				seen := map[string]bool{}
				for _, e := range res.Report.Endpoints {
					if seen[e.Name] {
						t.Errorf("%s: two endpoints %q", file, e.Name)
					}
					seen[e.Name] = true
				}
				data, err := json.Marshal(res.Report)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = data
				}
				if !bytes.Equal(first, data) {
					t.Errorf("%s: another report the next time", file)
				}
			}
		}
	}
}

func TestRoutesOfSuffixes(t *testing.T) {
	stacks := map[string]int64{serve + "corp/shop.(*API).List;corp/shop.sort": 100, serve + "corp/shop.(*Admin).List;corp/shop.sort": 100, serve + "corp/shop.(*V2).Ls;corp/shop.sort": 100}
	for range 10 {
		res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(stacks)}}, Options{
			AppPrefixes: []string{"corp"}, Routes: map[string]string{"List": "GET /any", "(*API).List": "GET /shop", "(*V2).Ls": "GET /shop"},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, e := range res.Report.Endpoints {
			got[e.Name] = e.Share.Samples
		}
		if d := cmp.Diff(map[string]int64{"GET /any": 100, "GET /shop": 200}, got); d != "" {
			t.Fatal(d)
		}
	}
}

// TestWhoseCode: how the application is told from its libraries.
func TestWhoseCode(t *testing.T) {
	const conn = "net/http.(*conn).serve@/usr/local/go/src/net/http/server.go;net/http.serverHandler.ServeHTTP@/usr/local/go/src/net/http/server.go;net/http.HandlerFunc.ServeHTTP@/usr/local/go/src/net/http/server.go;"
	for _, tc := range []struct {
		name   string
		stacks map[string]int64
		opt    Options
		want   string // the caller of the decode
	}{
		{"a module of two elements, without main or dependencies", map[string]int64{
			conn + "example.com/app/api.List@/src/api/list.go;example.com/app/store.Get@/src/store/get.go;encoding/json.Unmarshal@/usr/local/go/src/encoding/json/decode.go": 300,
		}, Options{}, "example.com/app/store.Get"},
		{"installed with go install", map[string]int64{
			conn + "github.com/a/app/api.List@/go/pkg/mod/github.com/a/app@v1.2.0/api/list.go;github.com/a/app/api.load@/go/pkg/mod/github.com/a/app@v1.2.0/api/load.go;encoding/json.Unmarshal@/usr/local/go/src/encoding/json/decode.go": 300,
		}, Options{}, "github.com/a/app/api.load"},
		{"a prefix overrules a module's path", map[string]int64{
			"main.main@/src/main.go": 5,
			conn + "main.list@/src/main.go;example.com/kit/store.Get@/go/pkg/mod/example.com/kit@v1.0.0/store/get.go;encoding/json.Unmarshal@/usr/local/go/src/encoding/json/decode.go": 300,
		}, Options{AppPrefixes: []string{"example.com/kit"}}, "example.com/kit/store.Get"},
		{"a vendored library is none of ours", map[string]int64{
			conn + "example.com/app/api.List@/src/api/list.go;github.com/x/kit.Get@/src/vendor/github.com/x/kit/get.go;encoding/json.Unmarshal@/usr/local/go/src/encoding/json/decode.go": 300,
		}, Options{}, "example.com/app/api.List"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(tc.stacks)}}, tc.opt)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Report.Endpoints) == 0 || len(res.Report.Endpoints[0].Codecs) == 0 || res.Report.Endpoints[0].Codecs[0].Caller != tc.want {
				t.Errorf("endpoints %+v, want a decode called by %s", res.Report.Endpoints, tc.want)
			}
		})
	}
}

// TestAssistIsNoBackground: who allocates pays for the assist, wherever its
// goroutine comes from.
func TestAssistIsNoBackground(t *testing.T) {
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(map[string]int64{
		"net/http.(*persistConn).readLoop;bufio.(*Reader).Peek;runtime.mallocgc;runtime.gcAssistAlloc;runtime.gcDrainN": 300,
		"runtime.gcBgMarkWorker;runtime.systemstack;runtime.gcDrain;runtime.scanobject":                                 100,
	})}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, p := range res.Report.Other {
		got[p.Name] = p.Share.Samples
	}
	if d := cmp.Diff(map[string]int64{"(client) connections to other services": 300, "(gc) background garbage collection": 100}, got); d != "" {
		t.Error(d)
	}
}
