package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
)

// slackPath is where Slack sends what people do, when it does so by HTTP. The
// manifest that install slack makes has it too.
const slackPath = "/slack"

// people are the ways in which people in Slack ask, and who answers them.
type people struct {
	desk   *slackbot.Desk
	socket *receive.Socket // nil unless Socket Mode is configured
	http   http.Handler    // nil unless HTTP is
}

// newPeople opens the way in that is configured; nil when there is none.
func (a *App) newPeople() (*people, error) {
	way := a.cfg.Slack.Way()
	if way == config.WayOff {
		return nil, nil //nolint:nilnil // most first installations only tell
	}
	opt, err := deskOptions(a.cfg)
	if err != nil {
		return nil, err
	}
	back := &backend{Store: a.store, app: a, since: time.Now()}
	p := &people{}
	if p.desk, err = slackbot.NewDesk(a.bot, back, opt); err != nil {
		return nil, err
	}
	a.onStop("answers in slack", func(ctx context.Context) error { p.desk.Stop(ctx); return nil })
	if way == config.WaySocket {
		p.socket, err = receive.NewSocket(receive.SocketOptions{
			AppToken: a.cfg.Slack.AppToken.Reveal(), APIURL: a.cfg.Slack.APIURL, Handler: p.desk, Seen: a.store, Logger: a.log,
		})
		return p, err
	}
	in := receive.HTTPOptions{Handler: p.desk, Seen: a.store, Logger: a.log}
	for _, s := range a.cfg.Slack.SigningSecrets {
		in.SigningSecrets = append(in.SigningSecrets, s.Reveal())
	}
	p.http, err = receive.NewHTTP(in)
	return p, err
}

// start answers people until Stop.
func (p *people) start(ctx context.Context, a *App) {
	a.background(ctx, "digests", func(ctx context.Context) error { p.desk.Run(ctx); return nil })
	if p.socket != nil {
		// A token that Slack does not take stops no profbot: it still tells.
		a.background(ctx, "slack socket", func(ctx context.Context) error {
			if err := p.socket.Run(ctx); err != nil {
				a.log.Error("slack socket: commands and buttons do not work", "error", err)
			}
			return nil
		})
	}
}

// trouble is what does not work at the moment, in plain words.
func (a *App) trouble() []string {
	out := a.bot.Trouble()
	if a.people != nil && a.people.socket != nil {
		if st := a.people.socket.State(); st.Trouble != "" {
			out = append(out, fmt.Sprintf("Slack's Socket Mode since %s: %s", st.Since.UTC().Format("15:04 UTC"), st.Trouble))
		}
	}
	if a.fleet.Kube != nil {
		if err := a.fleet.Kube.Ready(); err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}

// deskOptions are what the configuration says of people.
func deskOptions(cfg *config.Config) (slackbot.DeskOptions, error) {
	s := cfg.Slack
	opt := slackbot.DeskOptions{
		Teams: s.Teams, Limits: slackbot.Limits{User: s.Limits.User, Service: s.Limits.Service}, Window: cfg.Capture.CPU, Pods: cfg.Capture.Pods,
	}
	for _, r := range s.Rights {
		right := slackbot.Right{Users: r.Users, Groups: r.Groups, Channels: r.Channels, Services: r.Services}
		for _, m := range r.May {
			right.May = append(right.May, slackbot.May(m))
		}
		opt.Rights = append(opt.Rights, right)
	}
	at, err := time.Parse("15:04", s.Digest.At)
	if err != nil {
		return opt, fmt.Errorf("slack.digest.at: %w", err)
	}
	opt.Digest.At = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	if opt.Digest.Zone, err = time.LoadLocation(s.Digest.Zone); err != nil {
		return opt, fmt.Errorf("slack.digest.zone: %w", err)
	}
	return opt, nil
}

// BotOptions are what the configuration says of where incidents are told.
func BotOptions(cfg *config.Config) slackbot.Options {
	asked := cfg.Slack.Way() != config.WayOff
	opt := slackbot.Options{
		Token: cfg.Slack.Token.Reveal(), Channel: cfg.Slack.Channel, Channels: cfg.Slack.Channels, APIURL: cfg.Slack.APIURL,
		Asked: asked, Interactive: asked, Owners: map[string]string{},
	}
	for _, r := range cfg.Slack.Routes {
		opt.Routes = append(opt.Routes, slackbot.Route(r))
	}
	for _, s := range cfg.Services {
		if s.Team != "" {
			opt.Owners[s.Name] = s.Team
		}
	}
	return opt
}
