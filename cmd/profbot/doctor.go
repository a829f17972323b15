package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

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
	return "It looks at the configuration, the data folder, Slack (token, scopes, channels), Datadog (keys, webhook, metric), the pods that are discovered, " +
		"one pod's pprof, and the clock. It changes and posts nothing; a pull asks one pod for its goroutines and a second of its CPU. " +
		"The exit code is 1 when something would be missing in an incident."
}

// marks stand before each line.
var marks = map[doctor.State]string{doctor.Good: "✓", doctor.Skipped: "-", doctor.Warning: "!", doctor.Bad: "✗"}

func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	cfg, err := config.Load(c.Config, os.Environ())
	if err != nil {
		return err
	}
	area, warnings := "", 0
	opt := doctor.Options{Config: cfg, Service: c.Service, URL: c.URL, Webhook: c.Webhook, NoPull: c.NoPull}
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	var werr error
	opt.Tell = func(r doctor.Result) {
		if r.State == doctor.Warning {
			warnings++
		}
		if c.JSON {
			if err := enc.Encode(r); err != nil && werr == nil {
				werr = fmt.Errorf("print a result: %w", err)
			}
			return
		}
		if r.Area != area {
			area = r.Area
			fmt.Fprintln(s.out, area)
		}
		fmt.Fprintf(s.out, "  %s %s", marks[r.State], r.What)
		if r.Note != "" {
			fmt.Fprintf(s.out, ": %s", strings.ReplaceAll(r.Note, "\n", "\n      "))
		}
		fmt.Fprintln(s.out)
		if r.Next != "" {
			fmt.Fprintf(s.out, "      → %s\n", r.Next)
		}
	}
	bad := doctor.Walk(ctx, opt)
	if werr != nil {
		return werr
	}
	if !c.JSON {
		switch {
		case bad > 0:
			fmt.Fprintf(s.out, "%s to mend before an incident comes\n", count(bad, "thing"))
		case warnings > 0:
			fmt.Fprintf(s.out, "ready, with %s\n", count(warnings, "remark"))
		default:
			fmt.Fprintln(s.out, "ready")
		}
	}
	if bad > 0 {
		return &exitError{code: 1}
	}
	return nil
}
