package command

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLine is more than any line needs; Slack itself takes more.
const maxLine = 3000 // bytes

// Parse understands what follows /profbot or the bot's name. Its errors are of
// type [*Error].
func Parse(text string) (Command, error) {
	if len(text) > maxLine {
		return Command{}, &Error{Problem: "that is too long to be a command", Try: "help"}
	}
	words := split(text)
	if len(words) == 0 {
		return Command{}, nil
	}
	first := strings.ToLower(strings.TrimPrefix(words[0].text, "/"))
	f := lookup(first)
	if f == nil {
		return Command{}, unknown(first)
	}
	p := parser{form: f, Command: Command{Verb: f.verb, Kind: f.kind}}
	if err := p.read(words[1:]); err != nil {
		return Command{}, err
	}
	return p.finish()
}

func unknown(word string) error {
	if f := nearest(word); f != nil {
		return &Error{Problem: fmt.Sprintf("there is no command %s, did you mean %s?", show(word), f.word), Try: f.examples[0]}
	}
	return &Error{Problem: fmt.Sprintf("there is no command %s, help lists them", show(word)), Try: "cpu live-api, or help"}
}

// show quotes what somebody typed, cut short.
func show(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:39]) + "…"
	}
	return strconv.Quote(s)
}

// parser fills in one command.
type parser struct {
	Command
	form *form
	span time.Duration // the one duration that needs no name
}

// setters read the options, by name.
var setters map[string]func(p *parser, value string) error

func init() {
	setters = map[string]func(p *parser, value string) error{
		"service": func(p *parser, v string) error { return p.name(&p.Service, "service", v) },
		"env":     func(p *parser, v string) error { return p.name(&p.Env, "environment", v) },
		"pod":     func(p *parser, v string) error { return p.name(&p.Pod, "pod", v) },
		"pods": func(p *parser, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > MaxPods {
				return p.wrong(fmt.Sprintf("pods is a number from 1 to %d, not %s", MaxPods, show(v)), p.form.word+" live-api pods=3")
			}
			p.Pods = n
			return nil
		},
		"window": (*parser).setSpan, "since": (*parser).setSpan, "for": (*parser).setSpan,
	}
}

func isSetter(key string) bool { return setters[strings.ToLower(strings.TrimLeft(key, "-"))] != nil }

func (p *parser) wrong(problem, try string) error { return &Error{Problem: problem, Try: try} }

// read takes the words after the first.
func (p *parser) read(words []word) error {
	for i := 0; i < len(words); i++ {
		w := words[i]
		next := func() string {
			if i+1 < len(words) {
				return words[i+1].text
			}
			return ""
		}
		if w.quoted {
			if err := p.positional(w); err != nil {
				return err
			}
			continue
		}
		key, value, has := strings.Cut(w.text, "=")
		bare := strings.ToLower(strings.TrimLeft(key, "-"))
		dashed := bare != strings.ToLower(key)
		switch {
		case bare == "" && !has: // a dash between words
		case dashed && (bare == "help" || bare == "h"):
			p.Command = Command{Verb: Help, Subject: p.form.word}
			p.form = lookup("help")
			return nil
		case setters[bare] != nil && (has || dashed || p.given() && next() != ""):
			if !has {
				i++
				if i == len(words) {
					return p.wrong(fmt.Sprintf("%s needs a value", bare), p.form.examples[0])
				}
				value = words[i].text
			}
			// "since 2 hours" as "since 2h".
			if _, _, number := cutNumber(value); number && units[strings.ToLower(next())] != 0 && takesSpan(bare) {
				i++
				value += words[i].text
			}
			if !p.takes(bare) {
				return p.wrong(fmt.Sprintf("%s takes no %s", p.form.word, bare), p.form.examples[0])
			}
			if err := setters[bare](p, value); err != nil {
				return err
			}
		case dashed:
			return p.wrong(fmt.Sprintf("%s has no option %s", p.form.word, show(w.text)), p.form.examples[len(p.form.examples)-1])
		default:
			if _, rest, number := cutNumber(w.text); number && rest == "" && units[strings.ToLower(next())] != 0 && !words[i+1].quoted {
				i++
				w.text += words[i].text
			}
			if err := p.positional(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func takesSpan(key string) bool { return key == "window" || key == "since" || key == "for" }

// given reports whether the service or subject is there, after which the names
// of options need no sign: "mute live-api for 2h".
func (p *parser) given() bool { return p.Service != "" || p.Subject != "" }

func (p *parser) takes(option string) bool {
	if takesSpan(option) {
		// They are one: nobody should have to remember which.
		return strings.Contains(p.form.options, " window") || strings.Contains(p.form.options, " since") || strings.Contains(p.form.options, " for")
	}
	return option == "service" && p.form.needs == service || strings.Contains(p.form.options+" ", " "+option+" ")
}

// positional takes a word without a name.
func (p *parser) positional(w word) error {
	if p.takes("for") && !w.quoted {
		if _, _, number := cutNumber(w.text); number {
			if _, err := duration(w.text, 1); err == nil || p.Service != "" {
				return p.setSpan(w.text)
			}
		}
	}
	switch {
	case p.form.needs == service && p.Service == "":
		name := w.text
		if !w.quoted {
			name = strings.TrimPrefix(name, "service:")
			// live-api/prod; a name with more of them is one name.
			if s, env, ok := strings.Cut(name, "/"); ok && s != "" && env != "" && !strings.Contains(env, "/") && p.Env == "" {
				if err := p.name(&p.Env, "environment", env); err != nil {
					return err
				}
				name = s
			}
		}
		return p.name(&p.Service, "service", name)
	case p.form.needs == subject && p.Subject == "":
		return p.name(&p.Subject, "incident or alert", w.text)
	case p.form.needs == onOff && p.Subject == "":
		switch strings.ToLower(w.text) {
		case "on", "yes", "start", "enable", "subscribe":
			p.Subject = "on"
		case "off", "no", "stop", "disable", "unsubscribe":
			p.Subject = "off"
		default:
			return p.wrong(fmt.Sprintf("digest is on or off, not %s", show(w.text)), "digest on")
		}
		return nil
	case p.form.needs == maybeCommand && p.Subject == "":
		f := lookup(w.text)
		if f == nil {
			return unknown(w.text)
		}
		p.Subject = f.word
		return nil
	}
	return p.wrong(fmt.Sprintf("%s does not know what to do with %s", p.form.word, show(w.text)), p.form.examples[len(p.form.examples)-1])
}

// finish checks that all is there.
func (p *parser) finish() (Command, error) {
	var low, high time.Duration
	var into *time.Duration
	switch p.Verb {
	case Capture:
		into, low, high = &p.Window, MinWindow, MaxWindow
	case Diff:
		into, low, high = &p.Since, MinSince, MaxSince
	case Mute:
		into, low, high = &p.For, MinMute, MaxMute
	}
	if p.span != 0 {
		if p.span < low || p.span > high {
			return Command{}, p.wrong(fmt.Sprintf("the time for %s is between %s and %s", p.form.word, spell(low), spell(high)), p.timed())
		}
		*into = p.span
	}
	if p.Pod != "" && p.Pods != 0 {
		return Command{}, p.wrong("give either pod, one by its name, or pods, how many", p.form.word+" live-api pods=3")
	}
	switch {
	case p.form.needs == service && p.Service == "":
		return p.Command, &Error{Problem: p.form.word + " needs a service, services lists them", Try: p.form.examples[0], Missing: true}
	case p.form.needs == subject && p.Subject == "":
		return p.Command, &Error{Problem: fmt.Sprintf("%s needs an %s", p.form.word, strings.ToLower(p.form.usage)), Try: p.form.examples[0], Missing: true}
	case p.form.needs == onOff && p.Subject == "":
		return Command{}, p.wrong("say whether this channel wants the weekly digest", "digest on, or digest off")
	case p.Verb == Mute && p.For == 0:
		return Command{}, p.wrong("say for how long to mute, up to "+spell(MaxMute), p.timed())
	}
	return p.Command, nil
}

// timed is an example with a duration.
func (p *parser) timed() string {
	name := p.Service
	if name == "" {
		name = "live-api"
	}
	name = quoted(name)
	switch p.Verb {
	case Diff:
		return "diff " + name + " since=2h"
	case Mute:
		return "mute " + name + " 2h"
	}
	return p.form.word + " " + name + " 30s"
}

// named is what names are made of: those of Kubernetes and Datadog, and the
// addresses of alerts. Without a semicolon no escape of Slack can be in one.
var named = regexp.MustCompile(`^[\pL\pN._:/@+?=&#%~,!-]+$`)

const maxName = 200 // characters; Datadog and Kubernetes allow fewer

func (p *parser) name(into *string, what, s string) error {
	if *into != "" {
		return p.wrong(fmt.Sprintf("there are two %ss, %s and %s", what, show(*into), show(s)), p.form.examples[0])
	}
	if !named.MatchString(s) || utf8.RuneCountInString(s) > maxName {
		return p.wrong(fmt.Sprintf("%s is no name of a %s", show(s), what), p.form.examples[0])
	}
	*into = s
	return nil
}

var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// cutNumber takes the digits from the front of a word.
func cutNumber(s string) (n int, rest string, ok bool) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end == 0 || end > 4 { // more digits are no time, and weeks of them overflow none
		return 0, s, false
	}
	n, _ = strconv.Atoi(s[:end]) // a few digits
	return n, s[end:], true
}

// forever is longer than anything may last.
const forever = 365 * 24 * time.Hour

// duration reads 30s, 2m, 1h30m, 7d, up to forever; a number alone is of the
// given unit, and not understood when that is 0.
func duration(s string, alone time.Duration) (time.Duration, error) {
	var total time.Duration
	for s = strings.ToLower(s); s != ""; {
		n, rest, ok := cutNumber(s)
		if !ok {
			return 0, strconv.ErrSyntax
		}
		end := strings.IndexAny(rest, "0123456789")
		if end < 0 {
			end = len(rest)
		}
		unit := units[rest[:end]]
		if rest == "" && total == 0 {
			unit = alone
		}
		if unit == 0 {
			return 0, strconv.ErrSyntax
		}
		total, s = min(forever, total+min(forever, time.Duration(n)*unit)), rest[end:]
	}
	return total, nil
}

func (p *parser) setSpan(s string) error {
	alone := time.Duration(0)
	if p.Verb == Capture {
		alone = time.Second
	}
	d, err := duration(s, alone)
	if err != nil || d == 0 {
		return p.wrong(fmt.Sprintf("%s is no time: write it as 30s, 5m, 2h or 1d", show(s)), p.timed())
	}
	if p.span != 0 {
		return p.wrong("there are two times", p.timed())
	}
	p.span = d
	return nil
}
