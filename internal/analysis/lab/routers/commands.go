package routers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// cmdServer speaks a line protocol of its own: "LIVE 7\n", answered by a
// length and bytes. CHAT is followed by a body of the given length.
type cmdServer struct {
	api      *svc.API
	commands map[string]func(ctx context.Context, r *bufio.Reader, arg string) ([]byte, error)
}

func (s *cmdServer) serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go s.handleConn(c) // ends when the client closes
	}
}

func (s *cmdServer) handleConn(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for s.step(r, w) == nil {
	}
}

func (s *cmdServer) step(r *bufio.Reader, w *bufio.Writer) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	name, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	f, ok := s.commands[name]
	if !ok {
		return errors.New("no such command")
	}
	b, err := f(context.Background(), r, arg)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d\n", len(b))
	_, _ = w.Write(b)
	return w.Flush()
}

func (s *cmdServer) Live(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.Live(ctx, arg)
}

func (s *cmdServer) Gift(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.Gift(ctx, arg)
}

func (s *cmdServer) Shop(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.Shop(ctx, arg)
}

func (s *cmdServer) Rank(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.Rank(ctx, arg)
}

func (s *cmdServer) Fanout(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.Fanout(ctx, arg)
}

func (s *cmdServer) User(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.User(ctx, arg)
}

func (s *cmdServer) Export(ctx context.Context, _ *bufio.Reader, arg string) ([]byte, error) {
	return s.api.Export(ctx, arg)
}

func (s *cmdServer) Chat(ctx context.Context, r *bufio.Reader, arg string) ([]byte, error) {
	l := s.api.Meter("chat").Start()
	defer l.Stop()
	var n int
	if _, err := fmt.Sscan(arg, &n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	var m svc.ChatMsg
	err := json.Unmarshal(b, &m)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return s.api.Chat(ctx, l, &m)
}

// driveCommands is the line protocol's client.
func driveCommands(addr, endpoint string, stop <-chan struct{}) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := json.Marshal(svc.ChatMsg{Room: "lab", Items: svc.NewFeed(25).Items})
	if err != nil {
		return err
	}
	r := bufio.NewReader(c)
	return Every(stop, func() error {
		ask := strings.ToUpper(endpoint) + " 7\n"
		if endpoint == "chat" {
			ask = fmt.Sprintf("CHAT %d\n%s", len(body), body)
		}
		if _, err := io.WriteString(c, ask); err != nil {
			return err
		}
		var n int
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(line, &n); err != nil {
			return err
		}
		_, err = r.Discard(n)
		return err
	})
}

// Calls is a service of net/rpc.
type Calls struct{ api *svc.API }

// Live, Gift and User are its methods.
func (c *Calls) Live(id string, out *[]byte) (err error) {
	*out, err = c.api.Live(context.Background(), id)
	return err
}

// Gift answers from the process's cache.
func (c *Calls) Gift(id string, out *[]byte) (err error) {
	*out, err = c.api.Gift(context.Background(), id)
	return err
}

// User decodes nothing.
func (c *Calls) User(id string, out *[]byte) (err error) {
	*out, err = c.api.User(context.Background(), id)
	return err
}

// pool hands requests to workers over a channel.
type pool struct {
	*web
	jobs chan job
}

type job struct {
	w    http.ResponseWriter
	r    *http.Request
	do   http.HandlerFunc
	done chan struct{}
}

func (p *pool) work() {
	for j := range p.jobs {
		j.do(j.w, j.r)
		close(j.done)
	}
}

func (p *pool) handle(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		j := job{w, r, f, make(chan struct{})}
		p.jobs <- j
		<-j.done
	}
}

// sockets answers messages of WebSockets.
type sockets struct {
	api *svc.API
	up  websocket.Upgrader
}

func (s *sockets) Serve(w http.ResponseWriter, r *http.Request) {
	c, err := s.up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			return
		}
		out, err := s.api.OnMessage(r.Context(), b)
		if err != nil || c.WriteMessage(kind, out) != nil {
			return
		}
	}
}

func init() {
	All["own-tcp"] = func(a *svc.API) Server {
		s := &cmdServer{api: a}
		s.commands = map[string]func(context.Context, *bufio.Reader, string) ([]byte, error){
			"LIVE": s.Live, "GIFT": s.Gift, "SHOP": s.Shop, "RANK": s.Rank, "FANOUT": s.Fanout, "USER": s.User, "EXPORT": s.Export, "CHAT": s.Chat,
		}
		return Server{Serve: s.serve, Handlers: methods("cmdServer", core), Drive: driveCommands}
	}
	All["net-rpc"] = func(a *svc.API) Server {
		s := rpc.NewServer()
		if err := s.Register(&Calls{a}); err != nil {
			panic(err) // a method above is wrong
		}
		return Server{
			Serve: func(l net.Listener) error {
				s.Accept(l)
				return nil
			},
			Handlers: methods("Calls", map[string]string{"live": "Live", "gift": "Gift", "user": "User"}),
			Drive: func(addr, endpoint string, stop <-chan struct{}) error {
				c, err := rpc.Dial("tcp", addr)
				if err != nil {
					return err
				}
				defer c.Close()
				return Every(stop, func() error {
					var out []byte
					return c.Call("Calls."+strings.ToUpper(endpoint[:1])+endpoint[1:], "7", &out)
				})
			},
		}
	}
	All["own-pool"] = func(a *svc.API) Server {
		p, m := &pool{&web{a}, make(chan job)}, http.NewServeMux()
		for range 4 {
			go p.work() // ends with the process
		}
		for path, f := range p.routes() {
			m.HandleFunc(path, p.handle(f))
		}
		return on(m, methods("web", core))
	}
	All["websocket"] = func(a *svc.API) Server {
		s := on(http.HandlerFunc((&sockets{api: a}).Serve), methods("sockets", map[string]string{"ws": "Serve"}))
		s.Drive = func(addr, _ string, stop <-chan struct{}) error {
			c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			defer c.Close()
			body, err := json.Marshal(svc.ChatMsg{Room: "lab", Items: svc.NewFeed(25).Items})
			if err != nil {
				return err
			}
			return Every(stop, func() error {
				if err := c.WriteMessage(websocket.TextMessage, body); err != nil {
					return err
				}
				_, _, err := c.ReadMessage()
				return err
			})
		}
		return s
	}
}
