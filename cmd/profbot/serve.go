package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/config"
)

type serveCmd struct {
	Config string `help:"Configuration file. Every key can also be set in the environment: slack.token is PROFBOT_SLACK_TOKEN." placeholder:"profbot.yaml" env:"PROFBOT_CONFIG" type:"path"`
	Check  bool   `help:"Check the configuration and the files that it names, say each fault, and exit. It contacts nobody."`
}

func (c *serveCmd) Run(ctx context.Context, io streams) error {
	cfg, err := config.Load(c.Config, os.Environ(), app.Check)
	if err != nil {
		return err
	}
	if c.Check {
		fmt.Fprintf(io.out, "configuration is good: %s, Slack channel %s\n", strings.Join(ways(cfg), ", "), cfg.Slack.Channel)
		for _, note := range cfg.Notes() {
			fmt.Fprintf(io.out, "note: %s\n", note)
		}
		return nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	log := logger(io.err, level, cfg.Log.Format)
	for _, note := range cfg.Notes() {
		log.WarnContext(ctx, note)
	}
	return app.Run(ctx, cfg, log)
}

// ways are those in which pods will be found.
func ways(cfg *config.Config) []string {
	var out []string
	listed, pods, names := 0, 0, 0
	for _, s := range cfg.Services {
		pods += len(s.Targets)
		if len(s.Targets) > 0 {
			listed++
		}
		if s.DNS != "" {
			names++
		}
	}
	if listed > 0 {
		out = append(out, count(listed, "service")+" with "+count(pods, "pod"))
	}
	if names > 0 {
		out = append(out, count(names, "service")+" by DNS")
	}
	k := cfg.Kubernetes
	if !k.Enabled {
		return out
	}
	as := "as profbot's own pod"
	if k.Kubeconfig != "" {
		as = "by " + k.Kubeconfig
		if k.Context != "" {
			as += ", context " + k.Context
		}
	}
	in := "all namespaces"
	if len(k.Namespaces) > 0 && !slices.Contains(k.Namespaces, "") {
		in = "namespaces " + strings.Join(k.Namespaces, " and ")
	}
	who := "pods that opt in"
	if !k.OptIn {
		who = "every pod with a service name"
	}
	if k.Selector != "" {
		who += " of " + k.Selector
	}
	return append(out, fmt.Sprintf("services are discovered in Kubernetes (%s; %s; %s; reached by %s)", as, in, who, k.Reach))
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
