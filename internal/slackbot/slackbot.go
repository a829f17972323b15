// Package slackbot tells incidents in Slack: one message per incident, edited
// in place as the work goes on, with the flame graph and the details in its
// thread.
//
// [Bot.Publish] brings a thread to the state of an [Update] and may be killed
// at any instant: what it did is remembered in a [Ledger], and where the
// memory ends it looks at Slack before it acts again. [Bot.PublishProof] does the
// same for the verification of a fix, in the thread of the incident that it is
// about. [RenderRoot], [RenderDetails] and [RenderProof] are the texts, pure
// functions of the update.
//
// A [Desk] answers people: it takes the requests of every way in (package
// receive), understands them (package command), looks whether they may, and
// asks a [Backend]. Answers are pure functions too.
//
// Calls are made at the rate that Slack allows, the oldest incident first, and
// hardly at all while Slack takes none; [Bot.Trouble] says what does not work.
//
// Texts that come from outside (titles of alerts, words of targets, names of
// endpoints) are only ever put where Slack reads no markup: rich text
// elements, plain text objects and table cells. So they can make no mention,
// no link and no formatting, whatever they hold.
package slackbot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// Options configure a [Bot]. Token and Channel are required.
type Options struct {
	// Token is the bot token, "xoxb-...".
	Token string
	// Channel is the id of the channel to tell incidents in, such as "C0123456789".
	Channel string
	// Channels gives services a channel of their own: service name -> channel
	// id. Services that are not in it use Channel.
	Channels map[string]string
	// Routes send services to a channel by their team or a tag as well; the
	// first that fits counts, and Channels come before them.
	Routes []Route
	// Owners are the teams of services: service name -> team.
	Owners map[string]string
	// Asked says that people can ask for things, by a [Desk]: what that needs of
	// the app is then looked at as well.
	Asked bool
	// APIURL is the address of Slack's Web API; "" means https://slack.com/api/.
	APIURL string
	// EditEvery is the least time between two edits of one message; 0 means
	// 3 s, which keeps one incident within half of what Slack allows for
	// chat.update (tier 3, 50 a minute for the whole workspace).
	EditEvery time.Duration
	// Interactive says that clicks reach profbot. Without it messages have links
	// and no buttons: Slack marks a button that nobody answers with a warning.
	Interactive bool
	// HTTPClient makes the requests; nil means a client of its own. Redirects
	// are never followed: the requests carry the token.
	HTTPClient *http.Client
	Logger     *slog.Logger     // nil discards
	Now        func() time.Time // nil means time.Now
}

// Update is everything a thread shows.
type Update struct {
	Incident  incident.Incident
	Captures  []incident.Capture
	Report    *analysis.Report // nil until analysed
	Picture   []byte           // PNG; nil until drawn
	ReportURL string           // "" when there is no page
	FlameURL  string           // "" when there is no page
	// Proof is what the verification of a fix found, in the thread of the
	// incident that it is about; nil for other incidents, and until analysed.
	Proof *analysis.Comparison
	// Diff is how the profiles differ from those of a control pod or of an
	// earlier incident; nil when there is nothing to compare with.
	Diff *incident.Difference
}

// Ledger remembers the effects of one incident. Load returns the zero Effect
// for a step that was never begun; what was saved is safe when Save returns.
type Ledger interface {
	Load(ctx context.Context, step string) (incident.Effect, error)
	Save(ctx context.Context, step string, e incident.Effect) error
}

// Bot talks to one Slack workspace. It is safe for concurrent use, but one
// incident must be published by one caller at a time.
type Bot struct {
	token    string
	channel  string
	channels map[string]string
	routes   []Route
	owners   map[string]string
	asked    bool
	api      *slack.Client
	apiURL   *url.URL
	http     *http.Client
	clicks   bool // can be taken
	log      *slog.Logger
	now      func() time.Time
	edits    pace
	gate     gate
	health   *health

	mu     sync.Mutex      // protects self and joined
	self   identity        // zero until it was asked for
	joined map[string]bool // channels that it tried to join
}

// Limits on what Slack may take and send.
const (
	callTimeout   = 15 * time.Second
	uploadTimeout = 60 * time.Second
	maxAnswer     = 16 << 20 // bytes of one answer; a page of history is far below
)

// New checks the options. It does not talk to Slack; [Bot.Check] does.
func New(opt Options) (*Bot, error) {
	if opt.Token == "" {
		return nil, errors.New("new slack bot: the bot token is required")
	}
	if opt.Channel == "" {
		return nil, errors.New("new slack bot: the channel is required")
	}
	for _, c := range (&Bot{channel: opt.Channel, channels: opt.Channels, routes: opt.Routes}).everyChannel() {
		if !channelID(c) {
			return nil, fmt.Errorf("new slack bot: channel %q: use the channel's id, such as \"C0123456789\"; it is at the end of the channel's About tab", c)
		}
	}
	if opt.APIURL == "" {
		opt.APIURL = slack.APIURL
	}
	if !strings.HasSuffix(opt.APIURL, "/") {
		opt.APIURL += "/"
	}
	api, err := url.Parse(opt.APIURL)
	if err != nil || api.Host == "" || (api.Scheme != "https" && api.Scheme != "http") {
		return nil, fmt.Errorf("new slack bot: API URL %q is not an http or https address", opt.APIURL)
	}
	if opt.EditEvery == 0 {
		opt.EditEvery = 3 * time.Second
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	client := &http.Client{}
	if opt.HTTPClient != nil {
		*client = *opt.HTTPClient
	}
	if client.Transport == nil {
		client.Transport = NewTransport()
	}
	client.Transport = limited{client.Transport}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Bot{
		token: opt.Token, channel: opt.Channel, channels: maps.Clone(opt.Channels),
		routes: slices.Clone(opt.Routes), owners: maps.Clone(opt.Owners), asked: opt.Asked,
		api:    slack.New(opt.Token, slack.OptionAPIURL(opt.APIURL), slack.OptionHTTPClient(client)),
		apiURL: api, http: client, clicks: opt.Interactive, log: opt.Logger, now: opt.Now,
		edits: pace{every: opt.EditEvery, last: map[string]time.Time{}}, gate: gate{doors: map[string]*door{}},
		health: newHealth(opt.Logger), joined: map[string]bool{},
	}, nil
}

// channelID reports whether s looks like the id of a channel: names such as
// "#ops" work for posting and for nothing else that is needed here.
func channelID(s string) bool {
	if len(s) < 6 || !strings.ContainsRune("CGD", rune(s[0])) {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// limited bounds the answers that are read.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// NewTransport returns the transport of a client of the bot's own. It gives up
// on a silent network long before a call's own deadline, so that the error
// says where it got stuck.
func NewTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: callTimeout,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
}
