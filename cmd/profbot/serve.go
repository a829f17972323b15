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
		fmt.Fprintf(io.out, "configuration is good: %d services with %d pods, Slack channel %s\n", len(cfg.Services), pods, cfg.Slack.Channel)
		return nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	return app.Run(ctx, cfg, logger(io.err, level, cfg.Log.Format))
}
