package slackbot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// Schedule says when the weekly digests are sent: on Mondays.
type Schedule struct {
	At   time.Duration  // after midnight; 0 means 9h
	Zone *time.Location // whose midnight; nil means UTC
}

// due is the latest time up to now at which the digests were to be sent.
func (s Schedule) due(now time.Time) time.Time {
	at := s.At
	if at == 0 {
		at = 9 * time.Hour
	}
	now = now.In(s.Zone)
	back := (int(now.Weekday()) + 6) % 7 // days since Monday
	for {
		y, m, d := now.AddDate(0, 0, -back).Date()
		// By the clock on the wall, whatever summer time does to the night before.
		t := time.Date(y, m, d, int(at/time.Hour), int(at%time.Hour/time.Minute), 0, 0, s.Zone)
		if !t.After(now) {
			return t
		}
		back += 7
	}
}

// digestEvent is the event type of the metadata on a digest: how it is found
// again after a crash between posting and remembering it.
const digestEvent = "profbot_digest"

// deskEvery is how often the desk looks whether something is to be sent.
const deskEvery = homeEvery

// Run sends the digests when they are due and keeps open homes fresh, until ctx
// ends.
func (d *Desk) Run(ctx context.Context) {
	tick := time.NewTicker(deskEvery)
	defer tick.Stop()
	for {
		d.sendDigests(ctx)
		d.refreshHomes(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sendDigests sends each channel's digest that is due.
func (d *Desk) sendDigests(ctx context.Context) {
	digests, err := d.back.Digests(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.log.WarnContext(ctx, "cannot look which weekly digests are due", "error", err)
		}
		return
	}
	due := d.opt.Digest.due(d.now())
	for channel, last := range digests {
		if ctx.Err() != nil || !last.Before(due) {
			continue
		}
		err := func() error {
			ctx, cancel := context.WithTimeoutCause(ctx, workTime, fmt.Errorf("not done within %s", workTime))
			defer cancel()
			return d.sendDigest(ctx, channel, due)
		}()
		if e, ok := errors.AsType[*Error](err); ok && e.refused() {
			d.log.ErrorContext(ctx, "the weekly digest is left out this week", "channel", channel, "error", err)
			err = d.back.Digest(ctx, channel, d.now()) // asking again would get the same answer
		}
		if err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "the weekly digest is sent later", "channel", channel, "error", err)
		}
	}
}

// sendDigest posts one digest once: what was posted before a crash is found by
// its metadata.
func (d *Desk) sendDigest(ctx context.Context, channel string, due time.Time) error {
	week := due.Format(time.DateOnly)
	ts, err := d.search(ctx, channel, "", due.Add(-findBefore), d.now().Add(findBefore), func(m slack.Message) bool {
		return m.Metadata.EventType == digestEvent && m.Metadata.EventPayload["week"] == week
	})
	if err != nil {
		return err
	}
	if ts == "" {
		all, err := d.back.Offenders(ctx, due.AddDate(0, 0, -7))
		if err != nil {
			return fmt.Errorf("list what was flagged within the week: %w", err)
		}
		meta := slack.MsgOptionMetadata(slack.SlackMetadata{EventType: digestEvent, EventPayload: map[string]any{"week": week}})
		if err := d.say(ctx, channel, "", renderDigest(d.concerns(channel, all), due), meta); err != nil {
			return err
		}
	}
	return d.back.Digest(ctx, channel, d.now())
}

// concerns are the offenders whose incidents are told in a channel; in one
// where none are told by configuration, all.
func (d *Desk) concerns(channel string, all []Offender) []Offender {
	own := false
	for _, id := range d.everyChannel() {
		own = own || id == channel
	}
	if !own {
		return all
	}
	var out []Offender
	for _, o := range all {
		if d.channelFor(incident.Alert{Key: incident.Key{Service: o.Service, Env: o.Env}}) == channel {
			out = append(out, o)
		}
	}
	return out
}

var digestHeadings = []string{"Endpoint", "Service", "Of its CPU", "Cores", "Verdict"}

const digestRows = 15

func renderDigest(all []Offender, due time.Time) Message {
	p := &page{}
	var cores float64
	var rows [][]string
	var proven []slack.RichTextElement
	open := 0
	for _, o := range all {
		if o.Proven != "" {
			proven = append(proven, offenderLine(o))
			continue
		}
		open++
		cores += o.Cores
		spent := ""
		if o.Cores > 0 {
			spent = fmt.Sprintf("%.2g", o.Cores)
		}
		if len(rows) < digestRows {
			rows = append(rows, []string{o.Endpoint, serviceName(o.Service, o.Env), o.Share.String(), spent, o.Verdict})
		}
	}
	title := "Week to " + due.Format("2 January") + ": " + plural(open, "flagged endpoint", "flagged endpoints")
	if len(proven) > 0 {
		title += ", " + plural(len(proven), "fix proven", "fixes proven")
	}
	p.add(header(title))
	if cores > 0 {
		p.add(rich(line(strong("What they cost:"), words(fmt.Sprintf(" about %.2g cores of the profiled pods, when they were profiled.", cores)))))
	}
	text := title
	if t, n := table(digestHeadings, rows, []int{2, 3}, maxChars/2); n > 0 {
		p.add(t)
		if open > n {
			p.add(small(fmt.Sprintf("and %d more", open-n)))
		}
		text += ". First: " + strings.Join([]string{rows[0][0], rows[0][4]}, ", ")
	} else {
		p.add(rich(line(words("No endpoint was flagged: either nothing fired, or nothing was found."))))
	}
	if len(proven) > 0 {
		p.add(rich(line(strong("Fixed and proven")), list(proven[:min(len(proven), digestRows)]...)))
	}
	p.add(small("Prove a fix with /profbot verify INCIDENT", "End this with /profbot digest off"))
	return Message{Text: clean(text, 1000), Blocks: p.blocks}
}

// digest gives the channel a weekly digest, or takes it away.
func (t *talk) digest(ctx context.Context, set string) (result, error) {
	channel := t.where()
	if channel == "" {
		return result{}, errors.New("a digest belongs to a channel: type /profbot digest on there")
	}
	if err := t.allowed(ctx, t.r.User, channel, MayDigest, ""); err != nil {
		return result{}, err
	}
	switch strings.ToLower(set) {
	case "on":
		if why := t.room(ctx, channel); why != "" {
			return result{}, errors.New("there is no digest yet, since " + why)
		}
		last, err := t.back.Digests(ctx)
		if err != nil {
			return result{}, err
		}
		if last[channel].IsZero() { // who has one keeps its place in the week
			if err := t.back.Digest(ctx, channel, t.now()); err != nil {
				return result{}, err
			}
		}
		next := t.opt.Digest.due(t.now()).AddDate(0, 0, 7)
		return result{msg: speak(words("🗓️ "), strong("This channel gets a weekly digest"), words(": flagged endpoints, the cores they cost, and fixes proven. The next comes "), moment(next), words(". End it with "), mono("/profbot digest off"), words("."))}, nil
	case "off":
		return result{msg: speak(strong("This channel gets no weekly digest."), words(" Begin it with "), mono("/profbot digest on"), words("."))}, t.back.Digest(ctx, channel, time.Time{})
	}
	return result{}, errors.New("write /profbot digest on, or /profbot digest off: it is about this channel")
}
