//go:build !small

package routers

import (
	"net"
	"net/http"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/httpx"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// go-zero's generator writes a function for each route that returns the handler.
type zeroAsk struct {
	ID string `form:"id"`
}

func zeroReply(w http.ResponseWriter, b []byte, err error) {
	if err != nil {
		httpx.Error(w, err)
		return
	}
	_, _ = w.Write(b)
}

func liveHandler(a *svc.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q zeroAsk
		if err := httpx.Parse(r, &q); err != nil {
			httpx.Error(w, err)
			return
		}
		b, err := a.Live(r.Context(), q.ID)
		zeroReply(w, b, err)
	}
}

func giftHandler(a *svc.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q zeroAsk
		if err := httpx.Parse(r, &q); err != nil {
			httpx.Error(w, err)
			return
		}
		b, err := a.Gift(r.Context(), q.ID)
		zeroReply(w, b, err)
	}
}

func userHandler(a *svc.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := a.User(r.Context(), r.FormValue("id"))
		zeroReply(w, b, err)
	}
}

func fanoutHandler(a *svc.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := a.Fanout(r.Context(), r.FormValue("id"))
		zeroReply(w, b, err)
	}
}

func chatHandler(a *svc.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := a.Meter("chat").Start()
		defer l.Stop()
		var m svc.ChatMsg
		if err := httpx.ParseJsonBody(r, &m); err != nil {
			httpx.Error(w, err)
			return
		}
		l.Done(clock.Decode)
		b, err := a.Chat(r.Context(), l, &m)
		zeroReply(w, b, err)
	}
}

func init() {
	All["go-zero"] = func(a *svc.API) Server {
		return Server{
			Handlers: map[string]string{
				"live": `liveHandler\.(func)?\d+$`, "gift": `giftHandler\.(func)?\d+$`, "user": `userHandler\.(func)?\d+$`, "fanout": `fanoutHandler\.(func)?\d+$`, "chat": `chatHandler\.(func)?\d+$`,
			},
			Serve: func(l net.Listener) error {
				logx.Disable()
				addr := l.Addr().(*net.TCPAddr)
				if err := l.Close(); err != nil { // it only listens by itself
					return err
				}
				s := rest.MustNewServer(rest.RestConf{Host: "127.0.0.1", Port: addr.Port, MaxBytes: 1 << 20, MaxConns: 1000, Timeout: 3000})
				s.Use(func(next http.HandlerFunc) http.HandlerFunc {
					return func(w http.ResponseWriter, r *http.Request) { next(w, r) }
				})
				for path, h := range map[string]http.HandlerFunc{"/live": liveHandler(a), "/gift": giftHandler(a), "/user": userHandler(a), "/fanout": fanoutHandler(a), "/chat": chatHandler(a)} {
					s.AddRoute(rest.Route{Method: method(path), Path: path, Handler: h})
				}
				s.Start()
				return nil
			},
		}
	}
}
