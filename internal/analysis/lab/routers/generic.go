package routers

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// wrap makes a handler of a function of a request and a reply, as many
// services have it: every endpoint runs under the same closure.
func wrap[Req, Resp any](read func(*http.Request, *Req) error, fn func(context.Context, Req) (Resp, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := read(r, &req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		resp, err := fn(r.Context(), req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(resp)
	}
}

type query struct{ ID string }

func byQuery(r *http.Request, q *query) error {
	q.ID = id(r)
	return nil
}

// typed has the functions that wrap makes handlers of.
type typed struct{ api *svc.API }

func raw(b []byte, err error) (json.RawMessage, error) { return b, err }

func (t *typed) Live(ctx context.Context, q query) (json.RawMessage, error) {
	return raw(t.api.Live(ctx, q.ID))
}

func (t *typed) Gift(ctx context.Context, q query) (json.RawMessage, error) {
	return raw(t.api.Gift(ctx, q.ID))
}

func (t *typed) Shop(ctx context.Context, q query) (json.RawMessage, error) {
	return raw(t.api.Shop(ctx, q.ID))
}

func (t *typed) Rank(ctx context.Context, q query) (json.RawMessage, error) {
	return raw(t.api.Rank(ctx, q.ID))
}

func (t *typed) Fanout(ctx context.Context, q query) (json.RawMessage, error) {
	return raw(t.api.Fanout(ctx, q.ID))
}

func (t *typed) User(ctx context.Context, q query) (json.RawMessage, error) {
	return raw(t.api.User(ctx, q.ID))
}

func (t *typed) Chat(ctx context.Context, m svc.ChatMsg) (json.RawMessage, error) {
	l := t.api.Meter("chat").Start()
	defer l.Stop()
	l.Done(clock.Get)
	return raw(t.api.Chat(ctx, l, &m))
}

func readJSON[T any](r *http.Request, v *T) error { return json.NewDecoder(r.Body).Decode(v) }

// shouting is what a service looks like whose handlers return errors.
type shouting func(w http.ResponseWriter, r *http.Request) error

func (f shouting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func init() {
	some := map[string]string{"live": "Live", "gift": "Gift", "shop": "Shop", "rank": "Rank", "fanout": "Fanout", "user": "User", "chat": "Chat"}
	All["own-generic"] = func(a *svc.API) Server {
		t, m := &typed{a}, http.NewServeMux()
		m.HandleFunc("/live", wrap(byQuery, t.Live))
		m.HandleFunc("/gift", wrap(byQuery, t.Gift))
		m.HandleFunc("/shop", wrap(byQuery, t.Shop))
		m.HandleFunc("/rank", wrap(byQuery, t.Rank))
		m.HandleFunc("/fanout", wrap(byQuery, t.Fanout))
		m.HandleFunc("/user", wrap(byQuery, t.User))
		m.HandleFunc("/chat", wrap(readJSON[svc.ChatMsg], t.Chat))
		s := on(logging(m), map[string]string{})
		for e, m := range some { // its closures are handlers too
			s.Handlers[e] = `routers\.\(\*typed\)\.` + m + `$|\bwrap\.(func)?\d+$`
		}
		s.NoShare = []string{"chat", "live", "gift", "shop", "rank", "fanout", "user"} // the reply is encoded outside the clocks
		return s
	}
	All["own-errors"] = func(a *svc.API) Server {
		h, m := &web{a}, http.NewServeMux()
		for path, f := range h.routes() {
			m.Handle(path, shouting(func(w http.ResponseWriter, r *http.Request) error {
				f(w, r)
				return nil
			}))
		}
		return on(recovery(m), methods("web", wide))
	}
	All["closures"] = func(a *svc.API) Server {
		m := http.NewServeMux()
		m.HandleFunc("/live", func(w http.ResponseWriter, r *http.Request) {
			b, err := a.Live(r.Context(), id(r))
			send(w, b, err)
		})
		m.HandleFunc("/gift", func(w http.ResponseWriter, r *http.Request) {
			b, err := a.Gift(r.Context(), id(r))
			send(w, b, err)
		})
		m.HandleFunc("/shop", func(w http.ResponseWriter, r *http.Request) {
			b, err := a.Shop(r.Context(), id(r))
			send(w, b, err)
		})
		m.HandleFunc("/rank", func(w http.ResponseWriter, r *http.Request) {
			b, err := a.Rank(r.Context(), id(r))
			send(w, b, err)
		})
		m.HandleFunc("/user", func(w http.ResponseWriter, r *http.Request) {
			b, err := a.User(r.Context(), id(r))
			send(w, b, err)
		})
		s := on(auth(m), map[string]string{})
		for _, e := range []string{"live", "gift", "shop", "rank", "user"} {
			s.Handlers[e] = `routers\.init\.[\w.]*func[\d.]+$`
		}
		return s
	}
}
