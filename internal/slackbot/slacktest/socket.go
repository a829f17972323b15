package slacktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// What Slack does with sockets.
const (
	maxSockets = 10
	maxAck     = 20 << 10         // a larger acknowledgement is dropped without a word
	ackTime    = 3 * time.Second  // after that nobody waits for it
	pingEvery  = 10 * time.Second // of an open socket
	farewell   = 10 * time.Second // from a warning to the end
)

// resends are the pauses before an event is sent again that was not acknowledged.
var resends = []time.Duration{0, time.Minute, 5 * time.Minute}

// ErrNoAck means that nobody acknowledged an envelope in time. For a command a
// person reads operation_timeout.
var ErrNoAck = errors.New("no acknowledgement within 3s: operation_timeout")

// socket is one WebSocket of the app, from hello until it ends.
type socket struct {
	ws      *websocket.Conn
	mu      sync.Mutex // held around writes; protects frozen
	frozen  bool
	pending map[string]chan json.RawMessage
	gone    chan struct{} // closed when nothing more will be read
}

func (k *socket) send(v any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ws.SetWriteDeadline(time.Now().Add(ackTime)); err != nil {
		return err
	}
	return k.ws.WriteJSON(v)
}

// connectionsOpen hands out an address that works once.
func (s *Server) connectionsOpen(url.Values) (answer, string) {
	s.lastID++
	ticket := fmt.Sprintf("ticket-%d", s.lastID)
	s.tickets[ticket] = true
	return answer{"url": "ws" + strings.TrimPrefix(s.url, "http") + "/socket/" + ticket}, ""
}

func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	known := s.tickets[r.PathValue("ticket")]
	delete(s.tickets, r.PathValue("ticket"))
	full := len(s.sockets) >= maxSockets
	s.mu.Unlock()
	if !known {
		http.Error(w, "unknown ticket", http.StatusForbidden)
		return
	}
	// Clients of a browser are told apart by their origin; there are none here.
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	defer func() { _ = ws.Close() }()
	k := &socket{ws: ws, pending: map[string]chan json.RawMessage{}, gone: make(chan struct{})}
	if full {
		k.disconnect("too_many_websockets")
		return
	}
	s.mu.Lock()
	s.sockets = append(s.sockets, k)
	n := len(s.sockets)
	s.changeLocked()
	s.mu.Unlock()
	defer s.forget(k)
	if k.send(answer{"type": "hello", "num_connections": n, "debug_info": answer{"host": "applink-1"}, "connection_info": answer{"app_id": "A0TEST"}}) != nil {
		return
	}
	go k.ping()
	for {
		var ack struct {
			EnvelopeID string          `json:"envelope_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		_, data, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if len(data) >= maxAck || json.Unmarshal(data, &ack) != nil {
			continue
		}
		s.mu.Lock()
		waiting := k.pending[ack.EnvelopeID]
		delete(k.pending, ack.EnvelopeID)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- ack.Payload // has room
		}
	}
}

// forget removes a socket that ended.
func (s *Server) forget(k *socket) {
	close(k.gone)
	s.leave(k)
}

// leave takes a socket out of use.
func (s *Server) leave(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = slices.DeleteFunc(s.sockets, func(other *socket) bool { return other == k })
	s.changeLocked()
}

// ping keeps a socket from looking dead until it has ended.
func (k *socket) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.gone:
			return
		case <-tick.C:
			k.mu.Lock()
			if !k.frozen && k.ws.WriteControl(websocket.PingMessage, []byte("Ping from applink-1"), time.Now().Add(ackTime)) != nil {
				k.mu.Unlock()
				return
			}
			k.mu.Unlock()
		}
	}
}

func (k *socket) disconnect(reason string) {
	_ = k.send(answer{"type": "disconnect", "reason": reason, "debug_info": answer{"host": "applink-1"}}) // a socket that broke is gone anyway
}

// Sockets counts the sockets that are open.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// Disconnect asks for the end of all sockets. With "warning" and
// "refresh_requested" they are used like others for ten more seconds, with other
// reasons, such as "link_disabled", they end at once.
func (s *Server) Disconnect(reason string) {
	s.mu.Lock()
	all := slices.Clone(s.sockets)
	s.mu.Unlock()
	for _, k := range all {
		k.disconnect(reason)
		end := func() {
			s.leave(k)
			_ = k.ws.Close()
		}
		if reason == "warning" || reason == "refresh_requested" {
			time.AfterFunc(farewell, end)
		} else {
			end()
		}
	}
}

// Freeze makes all sockets silent: they stay open, and neither ping nor send.
func (s *Server) Freeze() {
	for _, k := range s.retire() {
		k.mu.Lock()
		k.frozen = true
		k.mu.Unlock()
	}
}

// Cut breaks all sockets without a word.
func (s *Server) Cut() {
	for _, k := range s.retire() {
		_ = k.ws.NetConn().Close()
	}
}

// retire takes all sockets out of use: they get no more envelopes.
func (s *Server) retire() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.sockets
	s.sockets = nil
	s.changeLocked()
	return all
}

// Send sends a payload through one of the open sockets, waiting for one to
// open, and returns what its acknowledgement holds, nil for an empty one. The
// kind is "slash_commands", "interactive" or "events_api". An event that is not
// acknowledged is sent again, as Slack does: at once, after a minute, and after
// five; for the others the person is told, and [ErrNoAck] is returned.
func (s *Server) Send(ctx context.Context, kind string, payload any) (json.RawMessage, error) {
	for try := 0; ; try++ {
		got, err := s.sendOnce(ctx, kind, payload, try)
		if !errors.Is(err, ErrNoAck) || kind != "events_api" || try == len(resends) {
			return got, err
		}
		select {
		case <-time.After(resends[try]):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Server) sendOnce(ctx context.Context, kind string, payload any, try int) (json.RawMessage, error) {
	if err := s.WaitFor(ctx, func() bool { return s.Sockets() > 0 }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if len(s.sockets) == 0 {
		s.mu.Unlock()
		return nil, ErrNoAck
	}
	s.lastID++
	k := s.sockets[s.lastID%len(s.sockets)] // any of them
	id, ack := fmt.Sprintf("envelope-%d", s.lastID), make(chan json.RawMessage, 1)
	k.pending[id] = ack
	s.mu.Unlock()
	envelope := answer{"type": kind, "envelope_id": id, "payload": payload, "accepts_response_payload": kind != "events_api"}
	if kind == "events_api" {
		envelope["retry_attempt"], envelope["retry_reason"] = try, ""
		if try > 0 {
			envelope["retry_reason"] = "timeout"
		}
	}
	if err := k.send(envelope); err != nil {
		return nil, ErrNoAck
	}
	patience := time.NewTimer(ackTime)
	defer patience.Stop()
	select {
	case got := <-ack:
		return got, nil
	case <-patience.C:
	case <-k.gone:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(k.pending, id)
	return nil, ErrNoAck
}

// Transport reaches the workspace without a network, sockets included, which
// [Server.Client] does not. It suits tests with a fake clock.
func (s *Server) Transport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			theirs, ours := net.Pipe()
			l := pipe(make(chan net.Conn, 1))
			l <- ours
			close(l)
			go func() {
				srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}
				_ = srv.Serve(l) // ends at once; the connection lives on until its client closes it
			}()
			return theirs, nil
		},
	}
}

// pipe is a listener for the connections that it holds.
type pipe chan net.Conn

func (p pipe) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipe) Close() error   { return nil }
func (p pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
