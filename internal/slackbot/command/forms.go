package command

import (
	"fmt"
	"strings"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/spelling"
)

// needs is what a command wants to know beside its options.
type needs int

const (
	nothing needs = iota
	service
	subject
	onOff
	maybeCommand
)

// form is one command as it is typed.
type form struct {
	word     string
	verb     Verb
	kind     incident.Kind
	needs    needs
	options  string // those that it takes, each after a space
	aliases  string
	usage    string // what follows the word
	says     string
	examples []string
}

const captureOptions = " window env pod pods"

var forms []form

// Set here, since what parses help looks into the table.
func init() {
	capture := func(word string, kind incident.Kind, says, aliases string, more ...string) form {
		return form{
			word: word, verb: Capture, kind: kind, needs: service, options: captureOptions, aliases: aliases,
			usage: "SERVICE [30s] [pod=NAME] [pods=3]", says: says, examples: append([]string{word + " live-api"}, more...),
		}
	}
	forms = []form{
		capture("cpu", incident.KindCPU, "profile where the CPU time goes", "profile prof flame flames flamegraph flame-graph capture pprof",
			"cpu live-api 30s pods=3", "cpu live-api/prod pod=live-api-7d9f"),
		capture("heap", incident.KindHeap, "profile what holds the memory", "mem memory ram inuse leak", "heap live-api pods=1"),
		capture("goroutine", incident.KindGoroutine, "list what the goroutines do and wait for", "goroutines goroutine-dump gr stacks threads"),
		capture("mutex", incident.KindMutex, "profile who waits for locks", "mutexes lock locks contention"),
		capture("block", incident.KindBlock, "profile who waits for channels and conditions", "blocks blocking blocked"),
		capture("allocs", incident.KindAllocsAfter, "profile who allocates", "alloc allocation allocations garbage gc", "allocs live-api 1m"),
		{
			word: "diff", verb: Diff, needs: service, options: " since env", aliases: "compare cmp baseline",
			usage: "SERVICE [since=2h]", says: "compare now with an earlier profile", examples: []string{"diff live-api", "diff live-api since=2h"},
		},
		{
			word: "verify", verb: Verify, needs: subject, aliases: "fixed shipped prove proof",
			usage: "INCIDENT", says: "profile again after a fix and tell what has changed", examples: []string{"verify 01JD3K"},
		},
		{
			word: "history", verb: History, needs: service, options: " env", aliases: "hist incidents past",
			usage: "SERVICE", says: "list the incidents of a service", examples: []string{"history live-api"},
		},
		{
			word: "services", verb: Services, aliases: "service svc svcs list ls",
			says: "list what can be profiled", examples: []string{"services"},
		},
		{
			word: "status", verb: Status, aliases: "health running ping jobs",
			says: "say what runs, what waits and what is wrong", examples: []string{"status"},
		},
		{
			word: "why", verb: Why, needs: subject, aliases: "explain reason",
			usage: "ALERT or SERVICE", says: "explain what became of an alert", examples: []string{"why live-api"},
		},
		{
			word: "mute", verb: Mute, needs: service, options: " for env", aliases: "silence snooze quiet",
			usage: "SERVICE 2h", says: "take no profiles of a service for a while", examples: []string{"mute live-api 2h", "mute live-api 3d"},
		},
		{
			word: "unmute", verb: Unmute, needs: service, options: " env", aliases: "unsilence unsnooze resume",
			usage: "SERVICE", says: "end a mute", examples: []string{"unmute live-api"},
		},
		{
			word: "digest", verb: Digest, needs: onOff, aliases: "weekly summary",
			usage: "on|off", says: "send this channel a summary each week", examples: []string{"digest on", "digest off"},
		},
		{
			word: "help", verb: Help, needs: maybeCommand, aliases: "? h usage commands man",
			usage: "[COMMAND]", says: "explain a command", examples: []string{"help", "help diff"},
		},
	}
}

// lookup finds a command by its word or an alias.
func lookup(word string) *form {
	word = strings.ToLower(word)
	for i, f := range forms {
		if f.word == word {
			return &forms[i]
		}
	}
	for i, f := range forms {
		for _, a := range strings.Fields(f.aliases) {
			if a == word {
				return &forms[i]
			}
		}
	}
	return nil
}

// HelpText explains a command by its word, with examples, or, for "" and words
// that are no command, lists them all. Lines that can be typed are in backticks
// and begin with prefix, such as "/profbot ".
func HelpText(word, prefix string) string {
	var b strings.Builder
	f := lookup(word)
	if f == nil {
		for _, f := range forms {
			fmt.Fprintf(&b, "`%s` %s\n", strings.TrimSpace(prefix+f.word+" "+f.usage), f.says)
		}
		fmt.Fprintf(&b, "`%s` gives examples", prefix+"help cpu")
		return b.String()
	}
	fmt.Fprintf(&b, "`%s` %s", strings.TrimSpace(prefix+f.word+" "+f.usage), f.says)
	if f.verb == Capture {
		fmt.Fprintf(&b, "\nfor %s to %s, of 1 to %d pods, or of one by its name", spell(MinWindow), spell(MaxWindow), MaxPods)
	}
	for _, e := range f.examples {
		fmt.Fprintf(&b, "\n`%s`", prefix+e)
	}
	return b.String()
}

// nearest is the command whose word or alias is closest to what was typed; nil
// when none is close enough to be meant.
func nearest(word string) *form {
	word = strings.ToLower(word)
	best, least := (*form)(nil), 3
	for i, f := range forms {
		for _, w := range append([]string{f.word}, strings.Fields(f.aliases)...) {
			// A short word may differ in one place, a longer one in two.
			if d := spelling.Distance(word, w); d < least && d <= len(w)/3 {
				best, least = &forms[i], d
			}
		}
	}
	return best
}
