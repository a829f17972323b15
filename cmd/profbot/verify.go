package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

type verifyCmd struct {
	Incident string `arg:"" help:"The incident whose fix was rolled out, as its message names it."`
	By       string `help:"Who asks; shown in the thread." env:"USER"`
	URL      string `help:"profbot's internal address." default:"http://127.0.0.1:6061" env:"PROFBOT_INTERNAL_URL"`
}

func (c *verifyCmd) Run(ctx context.Context, s streams) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no answer within 20s"))
	defer cancel()
	address := strings.TrimSuffix(c.URL, "/") + "/api/incidents/" + url.PathEscape(c.Incident) + "/verify?by=" + url.QueryEscape(c.By)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask profbot at %s: %w", c.URL, cmp.Or(context.Cause(ctx), err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("profbot answered %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	var rec incident.Receipt
	if err := json.Unmarshal(body, &rec); err != nil {
		return fmt.Errorf("the answer is not profbot's: %w", err)
	}
	if rec.Repeated {
		fmt.Fprintf(s.out, "Asked for within the last minute already, as incident %s.\n", rec.Incident)
		return nil
	}
	fmt.Fprintf(s.out, "Profiling again, as incident %s. What has changed comes into the thread of %s.\n", rec.Incident, c.Incident)
	return nil
}
