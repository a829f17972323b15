package slacktest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// SignedRequest is a payload as Slack sends it to an app's own address, with
// the kinds of [Server.Send], signed with the app's secret. The fields of a
// command are a map of strings.
func SignedRequest(ctx context.Context, address, secret, kind string, payload any) (*http.Request, error) {
	data, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	body, contentType := string(data), "application/x-www-form-urlencoded"
	switch kind {
	case "slash_commands":
		var fields map[string]string
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, fmt.Errorf("fields of a command: %w", err)
		}
		form := url.Values{}
		for k, v := range fields {
			form.Set(k, v)
		}
		body = form.Encode()
	case "interactive":
		body = url.Values{"payload": {body}}.Encode()
	default:
		contentType = "application/json"
	}
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%s:%s", at, body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("X-Slack-Request-Timestamp", at)
	req.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return req, nil
}

// Command is what a person's slash command carries, with a trigger and a
// response address that work.
func (s *Server) Command(user, channel, text string) map[string]string {
	return map[string]string{
		"command": "/profbot", "text": text, "team_id": teamID, "channel_id": channel, "user_id": user, "api_app_id": "A0TEST",
		"trigger_id": s.Trigger(user), "response_url": s.ResponseURL(channel, user),
	}
}
