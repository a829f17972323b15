//go:build !small

package routers

import (
	"context"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/graphql-go/graphql"
	gqlhandler "github.com/graphql-go/handler"
	gwruntime "github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// asked and told are what Huma's handlers take and give.
type (
	asked struct {
		ID string `query:"id"`
	}
	told struct {
		Body []byte
	}
	chatting struct {
		Body svc.ChatMsg
	}
)

// humaAPI has the handlers for Huma.
type humaAPI struct{ api *svc.API }

func (h *humaAPI) tell(b []byte, err error) (*told, error) { return &told{b}, err }

func (h *humaAPI) Live(ctx context.Context, in *asked) (*told, error) {
	return h.tell(h.api.Live(ctx, in.ID))
}

func (h *humaAPI) Gift(ctx context.Context, in *asked) (*told, error) {
	return h.tell(h.api.Gift(ctx, in.ID))
}

func (h *humaAPI) Shop(ctx context.Context, in *asked) (*told, error) {
	return h.tell(h.api.Shop(ctx, in.ID))
}

func (h *humaAPI) Rank(ctx context.Context, in *asked) (*told, error) {
	return h.tell(h.api.Rank(ctx, in.ID))
}

func (h *humaAPI) Fanout(ctx context.Context, in *asked) (*told, error) {
	return h.tell(h.api.Fanout(ctx, in.ID))
}

func (h *humaAPI) User(ctx context.Context, in *asked) (*told, error) {
	return h.tell(h.api.User(ctx, in.ID))
}

func (h *humaAPI) Chat(ctx context.Context, in *chatting) (*told, error) {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	l.Done(clock.Get)
	return h.tell(h.api.Chat(ctx, l, &in.Body))
}

// connectAPI has the handlers for Connect.
type connectAPI struct{ api *svc.API }

type (
	ask  = connect.Request[wrapperspb.StringValue]
	tell = connect.Response[wrapperspb.BytesValue]
)

func (h *connectAPI) reply(b []byte, err error) (*tell, error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(wrapperspb.Bytes(b)), nil
}

func (h *connectAPI) Live(ctx context.Context, r *ask) (*tell, error) {
	return h.reply(h.api.Live(ctx, r.Msg.GetValue()))
}

func (h *connectAPI) Gift(ctx context.Context, r *ask) (*tell, error) {
	return h.reply(h.api.Gift(ctx, r.Msg.GetValue()))
}

func (h *connectAPI) Rank(ctx context.Context, r *ask) (*tell, error) {
	return h.reply(h.api.Rank(ctx, r.Msg.GetValue()))
}

func (h *connectAPI) User(ctx context.Context, r *ask) (*tell, error) {
	return h.reply(h.api.User(ctx, r.Msg.GetValue()))
}

// driveConnect calls a procedure again and again.
func driveConnect(addr, endpoint string, stop <-chan struct{}) error {
	c := connect.NewClient[wrapperspb.StringValue, wrapperspb.BytesValue](http.DefaultClient, "http://"+addr+"/lab.v1.Feeds/"+endpoint)
	return Every(stop, func() error {
		_, err := c.CallUnary(context.Background(), connect.NewRequest(wrapperspb.String("7")))
		return err
	})
}

// resolvers are the fields of a GraphQL query.
type resolvers struct{ api *svc.API }

func (r *resolvers) Live(p graphql.ResolveParams) (any, error) {
	b, err := r.api.Live(p.Context, "7")
	return string(b), err
}

func (r *resolvers) Gift(p graphql.ResolveParams) (any, error) {
	b, err := r.api.Gift(p.Context, "7")
	return string(b), err
}

func (r *resolvers) User(p graphql.ResolveParams) (any, error) {
	b, err := r.api.User(p.Context, "7")
	return string(b), err
}

func init() {
	All["huma"] = func(a *svc.API) Server {
		h, m := &humaAPI{a}, http.NewServeMux()
		r := humago.New(m, huma.DefaultConfig("lab", "1"))
		r.UseMiddleware(func(c huma.Context, next func(huma.Context)) { next(c) })
		huma.Get(r, "/live", h.Live)
		huma.Get(r, "/gift", h.Gift)
		huma.Get(r, "/shop", h.Shop)
		huma.Get(r, "/rank", h.Rank)
		huma.Get(r, "/fanout", h.Fanout)
		huma.Get(r, "/user", h.User)
		huma.Post(r, "/chat", h.Chat)
		s := on(logging(m), methods("humaAPI", map[string]string{"live": "Live", "gift": "Gift", "shop": "Shop", "rank": "Rank", "fanout": "Fanout", "user": "User", "chat": "Chat"}))
		s.NoShare = []string{"chat"}
		return s
	}
	All["connect"] = func(a *svc.API) Server {
		h, m := &connectAPI{a}, http.NewServeMux()
		const base = "/lab.v1.Feeds/"
		m.Handle(base+"live", connect.NewUnaryHandler(base+"live", h.Live))
		m.Handle(base+"gift", connect.NewUnaryHandler(base+"gift", h.Gift))
		m.Handle(base+"rank", connect.NewUnaryHandler(base+"rank", h.Rank))
		m.Handle(base+"user", connect.NewUnaryHandler(base+"user", h.User))
		s := on(m, methods("connectAPI", map[string]string{"live": "Live", "gift": "Gift", "rank": "Rank", "user": "User"}))
		s.Drive = driveConnect
		return s
	}
	All["gateway"] = func(a *svc.API) Server {
		h, m := &web{a}, gwruntime.NewServeMux()
		for path, f := range h.routes() {
			if err := m.HandlePath(method(path), path, func(w http.ResponseWriter, r *http.Request, _ map[string]string) { f(w, r) }); err != nil {
				panic(err) // a path above is wrong
			}
		}
		return on(m, methods("web", wide))
	}
	All["graphql"] = func(a *svc.API) Server {
		r := &resolvers{a}
		schema, err := graphql.NewSchema(graphql.SchemaConfig{Query: graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{
			"live": &graphql.Field{Type: graphql.String, Resolve: r.Live},
			"gift": &graphql.Field{Type: graphql.String, Resolve: r.Gift},
			"user": &graphql.Field{Type: graphql.String, Resolve: r.User},
		}})})
		if err != nil {
			panic(err) // the schema above is wrong
		}
		s := on(gqlhandler.New(&gqlhandler.Config{Schema: &schema}), methods("resolvers", map[string]string{"live": "Live", "gift": "Gift", "user": "User"}))
		s.Drive = func(addr, endpoint string, stop <-chan struct{}) error {
			return Every(stop, func() error {
				resp, err := http.Get("http://" + addr + "/?query={" + endpoint + "}")
				if err != nil {
					return err
				}
				return resp.Body.Close()
			})
		}
		return s
	}
	All["std-timeout"] = func(a *svc.API) Server {
		h := &web{a}
		m := http.NewServeMux()
		for path, f := range h.routes() {
			m.Handle(path, http.TimeoutHandler(f, 1e10, "late"))
		}
		return Server{Handlers: methods("web", core), Serve: func(l net.Listener) error { return http.Serve(l, m) }} //nolint:gosec // of a moment
	}
}
