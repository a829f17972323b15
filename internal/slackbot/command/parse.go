package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

var kinds = map[string]incident.Kind{
	"cpu": incident.KindCPU, "heap": incident.KindHeap, "goroutine": incident.KindGoroutine, "mutex": incident.KindMutex,
	"block": incident.KindBlock, "allocs": incident.KindAllocsAfter,
}

var verbs = []Verb{Diff, Verify, History, Services, Status, Why, Mute, Unmute, Digest, Help}

// Parse understands one line.
func Parse(text string) (Command, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Command{}, nil
	}
	var c Command
	first := strings.ToLower(words[0])
	if k, ok := kinds[first]; ok {
		c.Verb, c.Kind = Capture, k
	} else if slices.Contains(verbs, Verb(first)) {
		c.Verb = Verb(first)
	} else {
		return c, fmt.Errorf("%q is no command: type help for all of them", words[0])
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		span, err := time.ParseDuration(w)
		switch {
		case key == "pod":
			c.Pod = value
		case key == "env":
			c.Env = value
		case key == "pods":
			n, err := strconv.Atoi(value)
			if err != nil {
				return c, fmt.Errorf("pods=%s is no number", value)
			}
			c.Pods = n
		case key == "since":
			since, err := time.ParseDuration(value)
			if err != nil {
				return c, fmt.Errorf("since=%s is no duration", value)
			}
			c.Since = since
		case err == nil && c.Verb == Mute:
			c.For = span
		case err == nil:
			c.Window = span
		case slices.Contains([]Verb{Verify, Why, Digest, Help}, c.Verb):
			c.Subject = w
		default:
			c.Service, c.Env, _ = strings.Cut(w, "/")
		}
	}
	return c, nil
}

// String is the command as it is typed best.
func (c Command) String() string {
	out := []string{string(c.Verb)}
	if c.Verb == Capture {
		out[0] = c.Kind.Profile()
	}
	if c.Service != "" {
		out = append(out, c.Service)
	}
	if c.Env != "" {
		out = append(out, "env="+c.Env)
	}
	if c.Subject != "" {
		out = append(out, c.Subject)
	}
	for _, d := range []time.Duration{c.Window, c.For} {
		if d > 0 {
			out = append(out, d.String())
		}
	}
	if c.Pod != "" {
		out = append(out, "pod="+c.Pod)
	}
	if c.Pods > 0 {
		out = append(out, fmt.Sprintf("pods=%d", c.Pods))
	}
	return strings.Join(out, " ")
}

// Usage is one line for every command.
const usage = `cpu|heap|goroutine|mutex|block|allocs SERVICE [30s] [pod=NAME] [pods=3]
diff SERVICE [since=2h]
verify INCIDENT
history SERVICE
services
status
why ALERT|SERVICE
mute SERVICE 2h
unmute SERVICE
digest on|off
help [COMMAND]`

// Explain explains a verb, or all of them.
func Explain(verb string) string {
	for line := range strings.SplitSeq(usage, "\n") {
		if first, _, _ := strings.Cut(line, " "); verb != "" && slices.Contains(strings.Split(first, "|"), verb) {
			return line
		}
	}
	return usage
}
