package config

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// The ids of other things in Slack.
var (
	teamID  = regexp.MustCompile(`^[TE][A-Z0-9]{5,}$`)
	userID  = regexp.MustCompile(`^[UW][A-Z0-9]{5,}$`)
	groupID = regexp.MustCompile(`^S[A-Z0-9]{5,}$`)
)

// ids checks a list of ids.
func (l *loader) ids(key string, ids []string, form *regexp.Regexp, what string) {
	for i, id := range ids {
		if !form.MatchString(id) {
			l.bad(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q is no id of a %s", id, what), "write the id, not the name")
		}
	}
}

// asking checks what people may ask for in Slack, and how it comes in.
func (l *loader) asking() {
	s := l.cfg.Slack
	l.oneOf("slack.mode", s.Mode, "auto", WaySocket, WayHTTP, WayOff)
	if s.AppToken != "" && !strings.HasPrefix(s.AppToken.Reveal(), "xapp-") {
		l.bad("slack.app_token", "this is no app-level token", "make one under Basic Information with the scope connections:write; it begins with xapp-")
	}
	for i, secret := range s.SigningSecrets {
		if len(secret) < 16 {
			l.bad(fmt.Sprintf("slack.signing_secrets[%d]", i), fmt.Sprintf("%d characters are no signing secret", len(secret)), "copy it from the app's Basic Information")
		}
	}
	if s.Mode == WaySocket && s.AppToken == "" {
		l.missing("slack.app_token", "the app-level token, since slack.mode is socket")
	}
	if s.Mode == WayHTTP && len(s.SigningSecrets) == 0 {
		l.missing("slack.signing_secrets", "the app's signing secret, since slack.mode is http")
	}
	l.ids("slack.teams", s.Teams, teamID, "workspace")
	for i, r := range s.Routes {
		key := fmt.Sprintf("slack.routes[%d]", i)
		set := 0
		for _, v := range []string{r.Service, r.Team, r.Tag} {
			if v != "" {
				set++
			}
		}
		if set != 1 {
			l.bad(key, fmt.Sprintf("%d of service, team and tag are set", set), "set one of them")
		}
		if !channelID.MatchString(r.Channel) {
			l.bad(key+".channel", fmt.Sprintf("%q is no channel id", r.Channel), "write the id, not the name; it is at the end of the channel's link, such as C0123456789")
		}
	}
	for i, r := range s.Rights {
		key := fmt.Sprintf("slack.rights[%d]", i)
		l.ids(key+".users", r.Users, userID, "person")
		l.ids(key+".groups", r.Groups, groupID, "user group")
		l.ids(key+".channels", r.Channels, channelID, "channel")
		for j, p := range r.Services {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				l.bad(fmt.Sprintf("%s.services[%d]", key, j), fmt.Sprintf("%q is no pattern", p), "write a name, or a pattern such as live-*")
			}
		}
		for j, m := range r.May {
			l.oneOf(fmt.Sprintf("%s.may[%d]", key, j), m, "capture", "verify", "mute", "digest")
		}
	}
	for _, v := range []struct {
		key string
		n   int
	}{{"slack.limits.user", s.Limits.User}, {"slack.limits.service", s.Limits.Service}} {
		between(l, v.key, v.n, -1, 10_000)
		if v.n == 0 {
			l.bad(v.key, "this allows nothing", "write a number of captures an hour, -1 for any, or let slack.rights allow less")
		}
	}
	if _, zone := s.Digest.Clock(); zone == nil {
		l.bad("slack.digest", fmt.Sprintf("%q in %q is no time of day in a time zone", s.Digest.At, s.Digest.Zone), `write at: "09:00" and a zone such as UTC or Europe/Berlin`)
	}
}
