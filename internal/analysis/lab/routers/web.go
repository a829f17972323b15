package routers

import (
	"encoding/json"
	"net/http"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// web has the handlers of the routers that speak net/http.
type web struct{ api *svc.API }

func send(w http.ResponseWriter, b []byte, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

func id(r *http.Request) string { return r.URL.Query().Get("id") }

func (h *web) Live(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Live(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Gift(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Gift(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Shop(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Shop(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Rank(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Rank(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Fanout(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Fanout(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) User(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.User(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Export(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Export(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Chat(w http.ResponseWriter, r *http.Request) {
	l := h.api.Meter("chat").Start()
	defer l.Stop()
	var m svc.ChatMsg
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		send(w, nil, err)
		return
	}
	l.Done(clock.Decode)
	b, err := h.api.Chat(r.Context(), l, &m)
	send(w, b, err)
}

func (h *web) Rows(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Rows(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Bolt(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.InBolt(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Remote(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Remote(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Stream(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Stream(r.Context(), id(r))
	send(w, b, err)
}

func (h *web) Post(w http.ResponseWriter, r *http.Request) {
	b, err := h.api.Post(r.Context(), r.Body)
	send(w, b, err)
}

// routes are the handlers by path.
func (h *web) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/live": h.Live, "/gift": h.Gift, "/shop": h.Shop, "/rank": h.Rank, "/fanout": h.Fanout, "/user": h.User, "/export": h.Export, "/chat": h.Chat,
		"/rows": h.Rows, "/bolt": h.Bolt, "/rpc": h.Remote, "/stream": h.Stream, "/post": h.Post,
	}
}

// method is what a path is asked with.
func method(path string) string {
	if path == "/chat" || path == "/post" {
		return http.MethodPost
	}
	return http.MethodGet
}
