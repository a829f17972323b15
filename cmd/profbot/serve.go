package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/config"
)

type serveCmd struct {
	Config string `help:"Configuration file. Every key can also be set in the environment: slack.token is PROFBOT_SLACK_TOKEN." placeholder:"profbot.yaml" env:"PROFBOT_CONFIG" type:"path"`
	Check  bool   `help:"Check the configuration, say each fault, and exit."`
}

func (c *serveCmd) Run(ctx context.Context, io streams) error {
	cfg, err := config.Load(c.Config, os.Environ())
	if err != nil {
		return err
	}
	if c.Check {
		pods := 0
		for _, s := range cfg.Services {
			pods += len(s.Targets)
		}
		fmt.Fprintf(io.out, "configuration is good: %s with %s, Slack channel %s\n", count(len(cfg.Services), "service"), count(pods, "pod"), cfg.Slack.Channel)
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

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
