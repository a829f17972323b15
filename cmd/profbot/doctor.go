package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/doctor"
)

type doctorCmd struct {
	Config  string `help:"Configuration file, as for serve." placeholder:"profbot.yaml" env:"PROFBOT_CONFIG" type:"path"`
	Service string `help:"Pull from a pod of this service; by default from one pod of each, of ten services at most." placeholder:"NAME"`
	URL     string `help:"profbot's public address, to look whether Datadog's webhook leads there." env:"PROFBOT_URL" placeholder:"https://PROFBOT"`
	Webhook string `help:"Name of that webhook." default:"profbot"`
	NoPull  bool   `help:"Leave the services' pods alone."`
	JSON    bool   `help:"Print one JSON object for each thing that was looked at."`
}

// Help is what doctor --help adds to the flags.
func (doctorCmd) Help() string {
	return `It looks at the configuration, the data folder, Slack (token, scopes, channels), Kubernetes (permissions, annotations), Datadog (keys, webhook, metric), one pod's pprof of each service and who else reaches it, and the clock. It changes and posts nothing; a pull asks one pod for its goroutines and a second of its CPU.

✓ is good, - was not looked at, ! is a remark, ✗ would be missing in an incident; → is what to do. Colours are for terminals, without NO_COLOR.

Exit codes: 0 ready (remarks do not count), 1 something is to mend or the configuration cannot be read, 2 the command line is wrong.`
}

// marks stand before each line, and can be told apart without colour.
var marks = map[doctor.State]struct{ mark, colour string }{
	doctor.Good: {"✓", "32"}, doctor.Skipped: {"-", "2"}, doctor.Warning: {"!", "33"}, doctor.Bad: {"✗", "31"},
}

func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	cfg, err := config.Load(c.Config, os.Environ(), app.Check)
	if err != nil {
		return err
	}
	begun := time.Now()
	all, remarks := 0, 0
	show := newPrinter(s.out).result
	if c.JSON {
		show = asJSON(s.out)
	}
	var failed error
	bad := doctor.Walk(ctx, doctor.Options{
		Config: cfg, Service: c.Service, URL: c.URL, Webhook: c.Webhook, NoPull: c.NoPull,
		Tell: func(r doctor.Result) {
			all++
			if r.State == doctor.Warning {
				remarks++
			}
			if err := show(r); err != nil && failed == nil {
				failed = fmt.Errorf("print a result: %w", err)
			}
		},
	})
	if failed != nil {
		return failed
	}
	if !c.JSON {
		end := "ready"
		if bad > 0 {
			end = count(bad, "thing") + " to mend before an incident comes"
		}
		if remarks > 0 {
			end += ", with " + count(remarks, "remark")
		}
		fmt.Fprintf(s.out, "\n%s; %s looked at in %s\n", end, count(all, "thing"), seconds(time.Since(begun)))
	}
	if bad > 0 {
		return &exitError{code: 1}
	}
	return nil
}

func asJSON(out io.Writer) func(doctor.Result) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return func(r doctor.Result) error {
		return enc.Encode(struct {
			doctor.Result
			TookMS int64 `json:"took_ms"`
		}{r, r.Took.Milliseconds()})
	}
}

// printer writes results for people, in groups, as they come.
type printer struct {
	out    io.Writer
	colour bool
	area   string // of the result before
}

func newPrinter(out io.Writer) *printer {
	f, ok := out.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &printer{out: out, colour: colour}
}

// column is where notes begin; what is longer has its note on the next line.
const column = 34

// slow is from when on it is told how long something took.
const slow = time.Second

func (p *printer) result(r doctor.Result) error {
	var b strings.Builder
	if r.Area != p.area {
		if p.area != "" {
			b.WriteByte('\n')
		}
		p.area = r.Area
		fmt.Fprintln(&b, p.paint("1", r.Area))
	}
	m := marks[r.State]
	what, note := oneLine(r.What), oneLine(r.Note)
	if r.Took >= slow {
		note += fmt.Sprintf(" (%s)", seconds(r.Took))
	}
	indent := "\n" + strings.Repeat(" ", column)
	gap := indent
	if n := column - 4 - utf8.RuneCountInString(what); n >= 2 {
		gap = strings.Repeat(" ", n)
	}
	fmt.Fprintf(&b, "  %s %s%s%s\n", p.paint(m.colour, m.mark), what, gap, note)
	if r.Next != "" {
		fmt.Fprintf(&b, "%s%s %s\n", indent[1:], p.paint("1", "→"), oneLine(r.Next))
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// paint colours a text by a code of ECMA-48, on a terminal.
func (p *printer) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// oneLine keeps what comes from outside from moving the cursor or breaking the
// columns.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// seconds writes a duration for people: "0.4 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
