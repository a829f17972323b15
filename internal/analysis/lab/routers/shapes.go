package routers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// site, feeds and people are handlers that shift the path: each serves what
// begins with its part and hands the rest on.
type (
	site struct {
		feeds  *feeds
		people *people
	}
	feeds  struct{ api *svc.API }
	people struct{ api *svc.API }
)

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/user", r.URL.Path == "/export":
		s.people.ServeHTTP(w, r)
	default:
		s.feeds.ServeHTTP(w, r)
	}
}

func (f *feeds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/live":
		f.serveLive(w, r)
	case "/gift":
		f.serveGift(w, r)
	case "/shop":
		f.serveShop(w, r)
	case "/rank":
		f.serveRank(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *feeds) serveLive(w http.ResponseWriter, r *http.Request) {
	b, err := f.api.Live(r.Context(), id(r))
	send(w, b, err)
}

func (f *feeds) serveGift(w http.ResponseWriter, r *http.Request) {
	b, err := f.api.Gift(r.Context(), id(r))
	send(w, b, err)
}

func (f *feeds) serveShop(w http.ResponseWriter, r *http.Request) {
	b, err := f.api.Shop(r.Context(), id(r))
	send(w, b, err)
}

func (f *feeds) serveRank(w http.ResponseWriter, r *http.Request) {
	b, err := f.api.Rank(r.Context(), id(r))
	send(w, b, err)
}

func (p *people) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/user" {
		p.user(w, r)
		return
	}
	p.export(w, r)
}

func (p *people) user(w http.ResponseWriter, r *http.Request) {
	b, err := p.api.User(r.Context(), id(r))
	send(w, b, err)
}

func (p *people) export(w http.ResponseWriter, r *http.Request) {
	b, err := p.api.Export(r.Context(), id(r))
	send(w, b, err)
}

// jsonRPC has one path: the body names the method.
type jsonRPC struct {
	procedures map[string]func(context.Context, json.RawMessage) ([]byte, error)
}

type procedureCall struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

func (s *jsonRPC) handle(w http.ResponseWriter, r *http.Request) {
	var c procedureCall
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := s.call(r.Context(), c)
	send(w, b, err)
}

func (s *jsonRPC) call(ctx context.Context, c procedureCall) ([]byte, error) {
	p, ok := s.procedures[c.Method]
	if !ok {
		return nil, errors.New("no such method")
	}
	return p(ctx, c.Params)
}

type procedures struct{ api *svc.API }

func (p *procedures) live(ctx context.Context, _ json.RawMessage) ([]byte, error) {
	return p.api.Live(ctx, "7")
}

func (p *procedures) gift(ctx context.Context, _ json.RawMessage) ([]byte, error) {
	return p.api.Gift(ctx, "7")
}

func (p *procedures) rank(ctx context.Context, _ json.RawMessage) ([]byte, error) {
	return p.api.Rank(ctx, "7")
}

func (p *procedures) user(ctx context.Context, _ json.RawMessage) ([]byte, error) {
	return p.api.User(ctx, "7")
}

// bus hands commands to what is registered for their type.
type bus struct{ by map[string]commandHandler }

type (
	command        interface{ name() string }
	commandHandler interface {
		Execute(ctx context.Context, c command) ([]byte, error)
	}
	showLive struct{}
	showGift struct{}
	showUser struct{}

	liveUseCase struct{ api *svc.API }
	giftUseCase struct{ api *svc.API }
	userUseCase struct{ api *svc.API }
)

func (showLive) name() string { return "live" }
func (showGift) name() string { return "gift" }
func (showUser) name() string { return "user" }

func (b *bus) Dispatch(ctx context.Context, c command) ([]byte, error) {
	h, ok := b.by[c.name()]
	if !ok {
		return nil, fmt.Errorf("nobody takes %s", c.name())
	}
	return h.Execute(ctx, c)
}

func (u *liveUseCase) Execute(ctx context.Context, _ command) ([]byte, error) {
	return u.api.Live(ctx, "7")
}

func (u *giftUseCase) Execute(ctx context.Context, _ command) ([]byte, error) {
	return u.api.Gift(ctx, "7")
}

func (u *userUseCase) Execute(ctx context.Context, _ command) ([]byte, error) {
	return u.api.User(ctx, "7")
}

// rpcAPI is a gRPC service.
type rpcAPI struct {
	grpc_testing.UnimplementedTestServiceServer
	api *svc.API
}

func (s *rpcAPI) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	_, err := s.api.Live(ctx, "7")
	return &grpc_testing.Empty{}, err
}

func (s *rpcAPI) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	b, err := s.api.Gift(ctx, "7")
	return &grpc_testing.SimpleResponse{Payload: &grpc_testing.Payload{Body: b}}, err
}

func (s *rpcAPI) StreamingOutputCall(_ *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
	b, err := s.api.User(out.Context(), "7")
	if err != nil {
		return err
	}
	return out.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: b}})
}

// driveRPC calls the method that serves an endpoint.
func driveRPC(addr, endpoint string, stop <-chan struct{}) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	c, ctx := grpc_testing.NewTestServiceClient(conn), context.Background()
	return Every(stop, func() error {
		switch endpoint {
		case "live":
			_, err := c.EmptyCall(ctx, &grpc_testing.Empty{})
			return err
		case "gift":
			_, err := c.UnaryCall(ctx, &grpc_testing.SimpleRequest{})
			return err
		}
		s, err := c.StreamingOutputCall(ctx, &grpc_testing.StreamingOutputCallRequest{})
		if err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	})
}

func init() {
	All["own-shift"] = func(a *svc.API) Server {
		p := map[string]string{"user": `\(\*people\)\.user$`, "export": `\(\*people\)\.export$`}
		for e, m := range map[string]string{"live": "Live", "gift": "Gift", "shop": "Shop", "rank": "Rank"} {
			p[e] = `\(\*feeds\)\.serve` + m + `$`
		}
		return on(auth(&site{&feeds{a}, &people{a}}), p)
	}
	All["own-jsonrpc"] = func(a *svc.API) Server {
		p := &procedures{a}
		s := &jsonRPC{map[string]func(context.Context, json.RawMessage) ([]byte, error){"live": p.live, "gift": p.gift, "rank": p.rank, "user": p.user}}
		out := on(logging(http.HandlerFunc(s.handle)), methods("procedures", map[string]string{"live": "live", "gift": "gift", "rank": "rank", "user": "user"}))
		out.Drive = func(addr, endpoint string, stop <-chan struct{}) error {
			return Every(stop, func() error {
				resp, err := http.Post("http://"+addr+"/", "application/json", strings.NewReader(`{"method":"`+endpoint+`","params":{}}`))
				if err != nil {
					return err
				}
				_, err = new(bytes.Buffer).ReadFrom(resp.Body)
				return errors.Join(err, resp.Body.Close())
			})
		}
		return out
	}
	All["own-bus"] = func(a *svc.API) Server {
		b, m := &bus{map[string]commandHandler{"live": &liveUseCase{a}, "gift": &giftUseCase{a}, "user": &userUseCase{a}}}, http.NewServeMux()
		for path, c := range map[string]command{"/live": showLive{}, "/gift": showGift{}, "/user": showUser{}} {
			m.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
				out, err := b.Dispatch(r.Context(), c)
				send(w, out, err)
			})
		}
		p := map[string]string{}
		for _, e := range []string{"live", "gift", "user"} {
			p[e] = `\(\*` + e + `UseCase\)\.Execute$`
		}
		return on(recovery(m), p)
	}
	All["grpc-lab"] = func(a *svc.API) Server {
		return Server{
			Handlers: map[string]string{"live": `TestService/EmptyCall`, "gift": `TestService/UnaryCall`, "user": `TestService/StreamingOutputCall`},
			Serve: func(l net.Listener) error {
				s := grpc.NewServer(grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
					return h(ctx, req)
				}))
				grpc_testing.RegisterTestServiceServer(s, &rpcAPI{api: a})
				return s.Serve(l)
			},
			Drive: driveRPC,
		}
	}
}
