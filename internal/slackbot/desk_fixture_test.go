package slackbot_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// backend keeps in memory what profbot keeps on disk.
type backend struct {
	mu        sync.Mutex // protects everything below
	known     []slackbot.Known
	incidents map[string]slackbot.Update
	past      []slackbot.Past // newest first
	alerts    []slackbot.Received
	mutes     []incident.Mute
	deeds     []incident.Deed // oldest first
	digests   map[string]time.Time
	offenders []slackbot.Offender
	state     slackbot.State
	asked     map[string]time.Time
	down      error         // what every call answers, when set
	hold      chan struct{} // Accept and Status wait for it, when set
	point     func(string)  // called before a digest is remembered, when set
}

var _ slackbot.Backend = (*backend)(nil)

func newBackend() *backend {
	old := anIncident(incident.StatusDone)
	old.ID, old.Opened = "inc-old", opened.Add(-26*time.Hour)
	b := &backend{
		incidents: map[string]slackbot.Update{"inc-7f3a": doneState(), "inc-old": {Incident: old, Report: aReport()}},
		digests:   map[string]time.Time{}, asked: map[string]time.Time{},
		state: slackbot.State{Version: "v1.2.3", Since: opened.Add(-50 * time.Hour), Profiles: 1, Most: 4, Waiting: 2},
	}
	b.past = []slackbot.Past{
		{
			Incident: doneState().Incident, Headline: aReport().Headline(), Place: incident.Place{Channel: channel, Thread: "1.2"},
			Flagged: []string{"GET /live/list"}, Report: "https://profbot.example.com/r/abc",
		},
		{Incident: old, Headline: "GET /gift/list spends 40 % of its CPU decoding JSON", Proven: "decoding fell from 40 % to 3 %", Report: "https://profbot.example.com/r/old"},
	}
	b.known = []slackbot.Known{
		{Service: "gift-api", Env: "prod", Pods: 3},
		{Service: "live-api", Env: "prod", Pods: 6, Team: "live"},
		{Service: "room-api", Env: "prod", Pods: 2},
		{Service: "room-api", Env: "staging", Pods: 1},
	}
	b.alerts = []slackbot.Received{{At: opened, Alert: old.Alert, Receipt: incident.Receipt{Action: incident.ActionCapture, Incident: "inc-old", Reason: "the monitor fired"}}}
	b.offenders = []slackbot.Offender{
		{Service: "live-api", Env: "prod", Endpoint: "GET /live/list", Verdict: "decodes cached bytes again and again", Share: share(2487, 4012), Cores: 0.61, Incident: "inc-7f3a", At: opened},
		{Service: "gift-api", Env: "prod", Endpoint: "GET /gift/list", Verdict: "decodes cached bytes again and again", Share: share(955, 1990), Cores: 0.2, Incident: "inc-old", At: opened, Proven: "decoding fell from 40 % to 3 %"},
	}
	return b
}

// lock is held until the returned function is called.
func (b *backend) lock() func() { b.mu.Lock(); return b.mu.Unlock }

// held waits until nobody holds the backend.
func (b *backend) held(ctx context.Context) error {
	if b.hold == nil {
		return nil
	}
	select {
	case <-b.hold:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *backend) Accept(ctx context.Context, a incident.Alert) (incident.Receipt, error) {
	if err := b.held(ctx); err != nil {
		return incident.Receipt{}, err
	}
	defer b.lock()()
	if b.down != nil {
		return incident.Receipt{}, b.down
	}
	for _, r := range b.alerts {
		if r.Alert.Source == a.Source && r.Alert.ID == a.ID {
			r.Receipt.Repeated = true
			return r.Receipt, nil
		}
	}
	r := incident.Receipt{Action: incident.ActionCapture, Reason: "a person asked"}
	if a.Pod == "nosuch" {
		r = incident.Receipt{Action: incident.ActionRecord, Reason: `live-api has no pod "nosuch": its pods are live-api-7d9f-x2 and live-api-7d9f-k8`}
	} else {
		r.Incident = fmt.Sprintf("inc-%d", len(b.incidents))
		inc := incident.Incident{ID: r.Incident, Alert: a, Status: incident.StatusAccepted, Opened: a.At}
		b.incidents[inc.ID] = slackbot.Update{Incident: inc}
		b.past = slices.Insert(b.past, 0, slackbot.Past{Incident: inc, Place: a.Place})
	}
	b.alerts = slices.Insert(b.alerts, 0, slackbot.Received{At: a.At, Alert: a, Receipt: r})
	return r, nil
}

func (b *backend) Verify(ctx context.Context, id, by string) (incident.Receipt, error) {
	u, err := b.Show(ctx, id)
	if err != nil {
		return incident.Receipt{}, err
	}
	return b.Accept(ctx, incident.Alert{Source: "cli", ID: "verify-" + id + by, Key: u.Incident.Alert.Key, Verifies: id, RequestedBy: by})
}

func (b *backend) Show(_ context.Context, id string) (slackbot.Update, error) {
	defer b.lock()()
	if u, ok := b.incidents[id]; ok || b.down != nil {
		return u, b.down
	}
	return slackbot.Update{}, fmt.Errorf("show %q: %w", id, incident.ErrNotFound)
}

func (b *backend) Find(_ context.Context, at incident.Place) (string, error) {
	defer b.lock()()
	for _, p := range b.past {
		if p.Place == at {
			return p.Incident.ID, b.down
		}
	}
	return "", b.down
}

func (b *backend) Services(context.Context) ([]slackbot.Known, error) {
	defer b.lock()()
	return slices.Clone(b.known), b.down
}

func (b *backend) Latest(context.Context) (map[string]slackbot.Past, error) {
	defer b.lock()()
	out := map[string]slackbot.Past{}
	for _, p := range slices.Backward(b.past) {
		out[p.Incident.Alert.Key.Service] = p
	}
	return out, b.down
}

func (b *backend) History(_ context.Context, service string, limit int) ([]slackbot.Past, error) {
	defer b.lock()()
	var out []slackbot.Past
	for _, p := range b.past {
		if (service == "" || p.Incident.Alert.Key.Service == service) && len(out) < limit {
			out = append(out, p)
		}
	}
	return out, b.down
}

func (b *backend) Baseline(_ context.Context, service, _ string, before time.Time) (slackbot.Past, error) {
	defer b.lock()()
	for _, p := range b.past {
		if p.Incident.Alert.Key.Service == service && p.Headline != "" && p.Incident.Opened.Before(before) {
			return p, b.down
		}
	}
	return slackbot.Past{}, cmp.Or(b.down, incident.ErrNotFound)
}

func (b *backend) Why(_ context.Context, what string, limit int) ([]slackbot.Received, error) {
	defer b.lock()()
	var out []slackbot.Received
	for _, r := range b.alerts {
		if (r.Alert.ID == what || r.Alert.Key.Service == what) && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, b.down
}

func (b *backend) Status(ctx context.Context) (slackbot.State, error) {
	if err := b.held(ctx); err != nil {
		return slackbot.State{}, err
	}
	defer b.lock()()
	st := b.state
	for _, p := range b.past {
		if !p.Incident.Status.Final() {
			st.Running = append(st.Running, p)
		}
	}
	return st, b.down
}

func (b *backend) Offenders(_ context.Context, since time.Time) ([]slackbot.Offender, error) {
	defer b.lock()()
	var out []slackbot.Offender
	for _, o := range b.offenders {
		if !o.At.Before(since) {
			out = append(out, o)
		}
	}
	return out, b.down
}

func (b *backend) Mutes(context.Context) ([]incident.Mute, error) {
	defer b.lock()()
	return slices.Clone(b.mutes), b.down
}

func (b *backend) Mute(_ context.Context, m incident.Mute) error {
	defer b.lock()()
	b.mutes = slices.DeleteFunc(b.mutes, func(o incident.Mute) bool { return o.Service == m.Service && o.Env == m.Env })
	if m.Until.After(m.At) {
		b.mutes = append(b.mutes, m)
	}
	return b.down
}

func (b *backend) Note(_ context.Context, d incident.Deed) error {
	defer b.lock()()
	b.deeds = append(b.deeds, d)
	return nil
}

func (b *backend) Deeds(_ context.Context, limit int) ([]incident.Deed, error) {
	defer b.lock()()
	out := slices.Clone(b.deeds)
	slices.Reverse(out)
	return out[:min(len(out), limit)], b.down
}

func (b *backend) Digests(context.Context) (map[string]time.Time, error) {
	defer b.lock()()
	return maps.Clone(b.digests), b.down
}

func (b *backend) Digest(_ context.Context, channel string, last time.Time) error {
	if b.point != nil {
		b.point("digest")
	}
	defer b.lock()()
	if last.IsZero() {
		delete(b.digests, channel)
	} else {
		b.digests[channel] = last
	}
	return b.down
}

func (b *backend) Once(_ context.Context, key string) (bool, error) {
	defer b.lock()()
	last, ok := b.asked[key]
	b.asked[key] = time.Now()
	return !ok || time.Since(last) > 10*time.Minute, b.down
}

// orders are the alerts that people have made, oldest first.
func (b *backend) orders() []incident.Alert {
	defer b.lock()()
	var out []incident.Alert
	for _, r := range slices.Backward(b.alerts) {
		if r.Alert.Order != nil || r.Alert.Verifies != "" {
			out = append(out, r.Alert)
		}
	}
	return out
}

// lastDeed is the end of the audit log.
func (b *backend) lastDeed(t *testing.T) incident.Deed {
	t.Helper()
	defer b.lock()()
	if len(b.deeds) == 0 {
		t.Fatal("nothing is in the audit log")
	}
	return b.deeds[len(b.deeds)-1]
}

// office is a workspace with a desk, and people who use it.
type office struct {
	t    *testing.T
	s    *slacktest.Server
	back *backend
	desk *slackbot.Desk
	n    int
}

const (
	ann     = "U0ANN00000" // a full member
	bob     = "U0BOB00000" // another
	guest   = "U0GUEST000"
	other   = "C0OTHER000" // the bot is not in it
	private = "C0PRIVATE0" // and cannot see this one
	dm      = "D0ANN00000"
)

// open runs f in a bubble, with a desk at the time of the fixtures.
func open(t *testing.T, opt slackbot.DeskOptions, f func(t *testing.T, o *office), change ...func(*slackbot.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(opened)) // to the day of the fixtures, at no cost in a bubble
		o := &office{t: t, back: newBackend()}
		o.s = slacktest.New(slacktest.Options{Channels: []slacktest.Channel{
			{ID: channel, Name: "ops-alerts"},
			{ID: other, Name: "random", Outside: true},
			{ID: private, Name: "secret", Private: true, Outside: true},
			{ID: dm, Private: true},
		}})
		o.s.AddUser(slacktest.User{ID: ann, Name: "ann"})
		o.s.AddUser(slacktest.User{ID: bob, Name: "bob"})
		o.s.AddUser(slacktest.User{ID: guest, Name: "gus", Guest: true})
		var err error
		if o.desk, err = slackbot.NewDesk(newBot(t, o.s, change...), o.back, opt); err != nil {
			t.Fatal(err)
		}
		f(t, o)
		o.desk.Stop(t.Context())
	})
}

// request is one of ann's, with what every request carries.
func (o *office) request(kind receive.Kind) receive.Request {
	o.n++
	r := receive.Request{Kind: kind, ID: fmt.Sprintf("req-%d", o.n), Team: "T0TEST", User: ann, UserName: "ann"}
	if kind == receive.Command || kind == receive.Click {
		r.Channel, r.Response, r.Trigger = channel, o.s.ResponseURL(channel, ann), o.s.Trigger(ann)
	}
	return r
}

// do hands a request in and waits until all is done.
func (o *office) do(r receive.Request) receive.Reply {
	o.t.Helper()
	reply := o.desk.Handle(o.t.Context(), r)
	synctest.Wait()
	return reply
}

// typed types a command, and returns the answer in its acknowledgement.
func (o *office) typed(text string, change ...func(*receive.Request)) answer {
	o.t.Helper()
	r := o.request(receive.Command)
	r.Text = text
	for _, c := range change {
		c(&r)
	}
	return o.read(o.do(r).Body)
}

// click clicks a button, and returns what the person was shown.
func (o *office) click(action, value string, change ...func(*receive.Request)) answer {
	o.t.Helper()
	r := o.request(receive.Click)
	r.Action, r.Value, r.Message = action, value, "1773480413.000001"
	for _, c := range change {
		c(&r)
	}
	before := len(o.s.Ephemerals())
	if reply := o.do(r); reply.Body != nil {
		o.t.Errorf("a click is acknowledged with %v", reply.Body)
	}
	seen := o.s.Ephemerals()[before:]
	if len(seen) != 1 || !seen[0].Response {
		o.t.Fatalf("%d answers to a click: %+v", len(seen), seen)
	}
	return answer{Type: "ephemeral", Text: seen[0].Text, Blocks: seen[0].Blocks}
}

// answer is what a person is shown.
type answer struct {
	Type   string            `json:"response_type"`
	Text   string            `json:"text"`
	Blocks json.RawMessage   `json:"blocks"`
	Action string            `json:"response_action"`
	Errors map[string]string `json:"errors"`
	View   json.RawMessage   `json:"view"`
}

// read reads the body of an acknowledgement, and holds it to Slack's limits.
func (o *office) read(body any) (a answer) {
	o.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		o.t.Fatalf("%v: %s", err, data)
	}
	if len(data) >= 20_000 {
		o.t.Errorf("an acknowledgement of %d bytes, which Socket Mode drops", len(data))
	}
	if a.Type != "" {
		o.holds(a)
	}
	return a
}

// holds posts an answer as a message, which Slack refuses when it is too much.
func (o *office) holds(a answer) {
	o.t.Helper()
	data, err := json.Marshal(map[string]any{"text": a.Text, "blocks": a.Blocks})
	if err != nil || len(a.Blocks) == 0 {
		o.t.Errorf("an answer without blocks: %+v, %v", a, err)
	}
	for _, p := range slacktest.CheckMessage(data) {
		o.t.Errorf("Slack would not take this answer: %s", p)
	}
}

// lines are JSON, a line for each block.
func lines(t *testing.T, blocks json.RawMessage) string {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal(blocks, &all); err != nil {
		t.Fatalf("%v: %s", err, blocks)
	}
	var out bytes.Buffer
	for _, b := range all {
		out.Write(b)
		out.WriteByte('\n')
	}
	return out.String()
}
