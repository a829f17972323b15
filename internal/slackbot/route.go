package slackbot

import (
	"slices"

	"github.com/profbot/profbot/internal/incident"
)

// Route says where the incidents of some services are told. One of Service,
// Team and Tag is set.
type Route struct {
	Service string // name of the service
	Team    string // who owns it: as [Options.Owners] has it, or the alert's tag team:NAME
	Tag     string // a tag of the alert, such as "tier:1"
	Channel string // the channel's id
}

// channelFor is where an alert's incident is told: the service's own channel,
// else that of the first route that fits, else the one for all.
func (b *Bot) channelFor(a incident.Alert) string {
	if c := b.channels[a.Key.Service]; c != "" {
		return c
	}
	for _, r := range b.routes {
		if r.fits(a, b.owners[a.Key.Service]) {
			return r.Channel
		}
	}
	return b.channel
}

func (r Route) fits(a incident.Alert, owner string) bool {
	switch {
	case r.Service != "":
		return r.Service == a.Key.Service
	case r.Team != "":
		return r.Team == owner || slices.Contains(a.Tags, "team:"+r.Team)
	}
	return r.Tag != "" && slices.Contains(a.Tags, r.Tag)
}

// everyChannel lists the channels that something may be told in, sorted.
func (b *Bot) everyChannel() []string {
	ids := []string{b.channel}
	for _, c := range b.channels {
		ids = append(ids, c)
	}
	for _, r := range b.routes {
		ids = append(ids, r.Channel)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
