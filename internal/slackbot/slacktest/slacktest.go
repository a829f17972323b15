// Package slacktest is a Slack to test against: a small workspace that keeps
// channels, messages, threads and files, and behaves like the real one where
// that matters to a bot. It checks tokens, scopes, memberships and the limits
// of messages, answers uploads before it has processed them, and can be told
// to fail, by chance too, to be slow to show a file, to be down, or to stop a
// caller at any point.
//
// It serves the Web API, and a page that shows the channels as a person would
// see them.
package slacktest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options configure a [Server].
type Options struct {
	Token string // what callers must send; "" means "xoxb-test"
	// AppToken is what callers must send for a socket; "" means "xapp-test".
	AppToken string
	Scopes   []string // what the token may do; nil means every scope that [Server] knows
	Team     string   // name of the workspace; "" means "Test"
	BotUser  string   // user id of the bot; "" means "U0PROFBOT0"
	BotName  string   // "" means "profbot"
	// Channels are there from the start; nil means one public channel
	// "C0PROFBOT0", "ops-alerts", with the bot in it.
	Channels []Channel
	// Viewer is the id of the person who looks at the page of a server that
	// listens: it shows what that person sees, and does what is clicked and
	// typed there. "" means that the page takes no input.
	Viewer string
	// Addr is where [NewServer] listens; "" means "127.0.0.1:0".
	Addr string
	// Before and After are called around the effect of each call, without any
	// lock held, with the name of the method ("chat.postMessage"; "upload" for
	// the bytes of a file). After runs before the answer is written. A hook
	// that panics with [http.ErrAbortHandler] cuts the connection. nil does nothing.
	Before, After func(method string)
	// Limit, when not nil, says how long a call to a method in a channel ("" for
	// methods without one) has to wait; it is refused then, as one too many.
	Limit func(method, channel string) time.Duration
	// Faults go wrong by chance; the zero value means none.
	Faults Faults
	// Rates says that what Slack allows of messages a second and calls a minute
	// is enforced.
	Rates bool
	Now   func() time.Time // nil means time.Now
}

// Channel is one channel of the workspace.
type Channel struct {
	ID       string
	Name     string
	Private  bool
	Archived bool
	Outside  bool // the bot is not a member
}

// Message is one message as the workspace keeps it.
type Message struct {
	Channel  string
	TS       string // its id and time
	ThreadTS string // TS of the message it replies to; "" for a message in the channel itself
	User     string // the bot's user id, or the name of a person
	Text     string
	Blocks   json.RawMessage
	Metadata json.RawMessage
	Files    []string // ids
	Edits    int
	// Broadcast says that a reply is shown in the channel too.
	Broadcast bool
}

// File is one uploaded file.
type File struct {
	ID    string
	Name  string
	Title string
	Data  []byte
	// Shares counts the messages that show it.
	Shares int
}

// Failure is an answer that a call gets instead of its effect.
type Failure struct {
	Code       string        // answered as {"ok":false,"error":Code}
	Status     int           // HTTP status instead of 200; 0 means 200, or 429 with RetryAfter
	RetryAfter time.Duration // sent as Retry-After in whole seconds
}

// Server is the workspace. It is safe for concurrent use.
type Server struct {
	opt      Options
	url      string
	listener net.Listener
	http     *http.Server

	mu       sync.Mutex // protects everything below
	lastTS   int64      // microseconds of the newest message
	lastFile int
	messages []*Message // in the order of their TS
	files    []*file
	failures map[string][]Failure
	calls    map[string][]time.Time
	lose     bool      // completed files are never shown
	people   people    // users.go
	views    views     // views.go
	private  private   // ephemeral.go
	sockets  []*socket // those that are open, oldest first
	tickets  map[string]bool
	lastID   int           // of a ticket or an envelope
	version  int           // grows with every change
	changed  chan struct{} // closed and replaced with every change
	faulty   faulty
	refusal  string                 // what every call is answered with; "" for nothing
	passed   map[string][]time.Time // calls that count for a rate, by method and channel
	over     map[string]int
}

// New returns a workspace that does not listen: its API is reached through
// [Server.Client] or [Server.Handler], which suits tests with a fake clock.
func New(opt Options) *Server {
	if opt.Token == "" {
		opt.Token = "xoxb-test"
	}
	if opt.AppToken == "" {
		opt.AppToken = "xapp-test"
	}
	if opt.Scopes == nil {
		opt.Scopes = allScopes()
	}
	if opt.Team == "" {
		opt.Team = "Test"
	}
	if opt.BotUser == "" {
		opt.BotUser = "U0PROFBOT0"
	}
	if opt.BotName == "" {
		opt.BotName = "profbot"
	}
	if opt.Channels == nil {
		opt.Channels = []Channel{{ID: "C0PROFBOT0", Name: "ops-alerts"}}
	}
	opt.Channels = slices.Clone(opt.Channels) // the bot may join some
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Server{
		opt: opt, url: "http://slack.test", failures: map[string][]Failure{}, calls: map[string][]time.Time{}, tickets: map[string]bool{}, changed: make(chan struct{}),
		faulty: newFaulty(opt.Faults), passed: map[string][]time.Time{}, over: map[string]int{},
	}
}

// NewServer returns a workspace that listens until [Server.Close].
func NewServer(opt Options) (*Server, error) {
	s := New(opt)
	addr := opt.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for fake Slack: %w", err)
	}
	s.listener, s.url = l, "http://"+l.Addr().String()
	s.http = &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(l) }() // ended by Close
	return s, nil
}

// Close stops listening and cuts what is under way.
func (s *Server) Close() error {
	s.Cut() // sockets are no longer the server's
	if s.http == nil {
		return nil
	}
	return s.http.Close()
}

// URL is the address of the Web API, with its trailing slash.
func (s *Server) URL() string { return s.url + "/api/" }

// PageURL is the address of the page for people.
func (s *Server) PageURL() string { return s.url + "/" }

// Token is what callers must send.
func (s *Server) Token() string { return s.opt.Token }

// Client reaches the workspace without a network.
func (s *Server) Client() *http.Client { return &http.Client{Transport: inProcess{s.Handler()}} }

// inProcess hands requests to a handler. It is a network as far as a caller
// can see: a handler that panics is a cut connection.
type inProcess struct{ h http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if err := context.Cause(req.Context()); err != nil {
		return nil, err
	}
	if req.Body != nil {
		defer req.Body.Close()
	}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			resp, err = nil, cmp.Or(context.Cause(req.Context()), errors.New("connection reset by peer"))
		}
	}()
	rec := httptest.NewRecorder()
	t.h.ServeHTTP(rec, req)
	if err := context.Cause(req.Context()); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// FailNext makes the next call of a method that is not failed yet answer f and
// do nothing. Calls of FailNext queue up.
func (s *Server) FailNext(method string, f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[method] = append(s.failures[method], f)
}

// LoseShares says whether files are completed without ever being shown, as
// Slack sometimes does.
func (s *Server) LoseShares(lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = lose
}

// Archive says whether nothing can be written to a channel any more.
func (s *Server) Archive(channel string, archived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channel(channel); c != nil {
		c.Archived = archived
		s.changeLocked()
	}
}

// Calls lists when a method was called with a good token, failed calls included.
func (s *Server) Calls(method string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[method])
}

// Say posts a message of a person.
func (s *Server) Say(channel, thread, person, text string) (ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(&Message{Channel: channel, ThreadTS: thread, User: person, Text: text})
}

// Delete removes a message and, when it begins a thread, the replies.
func (s *Server) Delete(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool {
		return m.Channel == channel && (m.TS == ts || m.ThreadTS == ts)
	})
	s.changeLocked()
}

// Messages lists what was said in a channel itself, oldest first.
func (s *Server) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	return s.selectLocked(func(m *Message) bool { return m.Channel == channel && m.ThreadTS == "" })
}

// Thread lists a message and its replies, oldest first.
func (s *Server) Thread(channel, ts string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	return s.selectLocked(func(m *Message) bool { return m.Channel == channel && (m.TS == ts || m.ThreadTS == ts) })
}

// Files lists the files whose bytes were uploaded.
func (s *Server) Files() []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	var out []File
	for _, f := range s.files {
		if f.Data != nil {
			out = append(out, f.File)
		}
	}
	return out
}

// WaitFor returns when cond holds. It looks now and after every change of the
// workspace; cond may call the other methods.
func (s *Server) WaitFor(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// changeLocked wakes who waits for a change. Must be called with mu held.
func (s *Server) changeLocked() {
	s.version++
	close(s.changed)
	s.changed = make(chan struct{})
}

// addLocked gives a message its timestamp and keeps it. Must be called with mu held.
func (s *Server) addLocked(m *Message) (ts string) {
	m.TS = s.nextLocked()
	s.messages = append(s.messages, m)
	s.changeLocked()
	return m.TS
}

// nextLocked is the timestamp of what happens now. Must be called with mu held.
func (s *Server) nextLocked() string {
	s.lastTS = max(s.lastTS+1, s.opt.Now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
}

// selectLocked copies the messages that keep accepts. Must be called with mu held.
func (s *Server) selectLocked(keep func(*Message) bool) []Message {
	var out []Message
	for _, m := range s.messages {
		if keep(m) {
			c := *m
			c.Files = slices.Clone(m.Files)
			out = append(out, c)
		}
	}
	return out
}

// messageLocked is the message with a timestamp, or nil. Must be called with mu held.
func (s *Server) messageLocked(channel, ts string) *Message {
	for _, m := range s.messages {
		if m.Channel == channel && m.TS == ts {
			return m
		}
	}
	return nil
}

// channel returns a channel by its id, or nil.
func (s *Server) channel(id string) *Channel {
	for i, c := range s.opt.Channels {
		if c.ID == id {
			return &s.opt.Channels[i]
		}
	}
	return nil
}

// when is the time of a timestamp.
func when(ts string) time.Time {
	sec, micro, _ := strings.Cut(ts, ".")
	a, _ := strconv.ParseInt(sec, 10, 64) // a timestamp that is none is 0
	b, _ := strconv.ParseInt(micro, 10, 64)
	return time.Unix(a, b*1000)
}
