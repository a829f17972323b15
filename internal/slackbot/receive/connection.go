package receive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// maxAck is from where on Slack drops an answer without a word.
const maxAck = 20 << 10

var errSilent = fmt.Errorf("it was silent for %s", silence)

// connection is one WebSocket to Slack.
type connection struct {
	*Socket
	ws    *websocket.Conn
	leave chan error // gets, once, why another one should be opened

	handlers sync.WaitGroup
	writing  sync.Mutex // held around each write of an answer

	mu    sync.Mutex // protects ended, and the read deadline from being set after it
	ended bool
}

// frame is what Slack sends.
type frame struct {
	Type           string          `json:"type"`
	Reason         string          `json:"reason"` // of a disconnect
	EnvelopeID     string          `json:"envelope_id"`
	Payload        json.RawMessage `json:"payload"`
	AcceptsPayload bool            `json:"accepts_response_payload"`
	Retry          int             `json:"retry_attempt"`
	Connections    int             `json:"num_connections"` // of a hello
}

// disconnect is Slack's wish that a connection ends.
type disconnect struct{ reason string }

func (d *disconnect) Error() string {
	switch d.reason {
	case "too_many_websockets":
		return "the app has ten sockets open, which is all it may have: run fewer replicas, or end what else uses its token"
	case "link_disabled":
		return "Socket Mode is switched off: switch it on in the app's settings, under Socket Mode"
	default:
		return "slack wants another connection: " + d.reason
	}
}

// replace reports whether the connection is still good while another one opens.
func (d *disconnect) replace() bool { return d.reason == "warning" || d.reason == "refresh_requested" }

// run reads until the connection ends, one way or another, and has answered
// what it read when it returns.
func (c *connection) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, c.end)
	var wait *time.Timer
	c.ws.SetPingHandler(func(data string) error {
		c.alive()
		return c.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(openTimeout))
	})
	for {
		c.alive()
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = errSilent
			}
			c.say(fmt.Errorf("slack's socket broke: %w", err))
			break
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			c.log.DebugContext(ctx, "slack frame ignored", "error", err)
			continue
		}
		switch f.Type {
		case "hello":
			c.change(ctx, "")
			c.log.DebugContext(ctx, "slack says hello", "connections", f.Connections)
		case "disconnect":
			d := &disconnect{f.Reason}
			if c.say(d); !d.replace() {
				c.end()
			} else if wait == nil {
				wait = time.AfterFunc(drain, c.end)
			}
		default:
			c.handlers.Go(func() { c.answer(context.WithoutCancel(ctx), f) })
		}
	}
	c.handlers.Wait()
	stop()
	if wait != nil {
		wait.Stop()
	}
	// Whether it arrives or not, this is the end.
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	_ = c.ws.Close()
}

// say tells why another connection should be opened; only the first reason counts.
func (c *connection) say(err error) {
	select {
	case c.leave <- err:
	default:
	}
}

// alive puts off the time when the connection is taken for dead.
func (c *connection) alive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		_ = c.ws.NetConn().SetReadDeadline(time.Now().Add(silence)) // a connection that is gone fails to read anyway
	}
}

// end stops the reading. What was read is still answered.
func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	_ = c.ws.NetConn().SetReadDeadline(time.Unix(1, 0))
}

// answer has an envelope handled and acknowledges it. Without an
// acknowledgement Slack sends events again.
func (c *connection) answer(ctx context.Context, f frame) {
	if f.EnvelopeID == "" {
		c.log.DebugContext(ctx, "slack frame ignored", "type", f.Type)
		return
	}
	var p decoded
	switch f.Type {
	case "slash_commands":
		p = decodeFields(f.Payload)
	case "interactive", "events_api":
		p = decodeJSON(f.Payload)
	default:
		p = ignore("envelope %.40q", f.Type)
	}
	reply, err := c.deliver(ctx, p, f.Retry)
	if err != nil {
		c.log.ErrorContext(ctx, "slack request not handled", "error", err)
		return
	}
	if err := c.acknowledge(f, reply); err != nil {
		c.log.WarnContext(ctx, "slack request not acknowledged", "type", f.Type, "error", err)
	}
}

// decodeFields reads a command as Socket Mode has it: an object with the fields
// of the form.
func decodeFields(data []byte) decoded {
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return ignore("command: %v", err)
	}
	form := url.Values{}
	for k, v := range fields {
		if s, ok := v.(string); ok {
			form.Set(k, s)
		}
	}
	return decodeCommand(form)
}

func (c *connection) acknowledge(f frame, reply Reply) error {
	type ack struct {
		EnvelopeID string `json:"envelope_id"`
		Payload    any    `json:"payload,omitempty"`
	}
	a := ack{EnvelopeID: f.EnvelopeID}
	if f.AcceptsPayload {
		a.Payload = reply.Body
	}
	data, err := json.Marshal(a)
	var lost error
	if err == nil && len(data) >= maxAck {
		err = fmt.Errorf("%d bytes are more than the %d that slack takes", len(data), maxAck)
	}
	if err != nil {
		lost = fmt.Errorf("answer left out: %w", err)
		if data, err = json.Marshal(ack{EnvelopeID: f.EnvelopeID}); err != nil {
			return err
		}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.ws.SetWriteDeadline(time.Now().Add(openTimeout)); err != nil {
		return err
	}
	return errors.Join(lost, c.ws.WriteMessage(websocket.TextMessage, data))
}
