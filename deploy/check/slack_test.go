package check

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// slackApp is what the Slack app's manifest uses of Slack's schema.
type slackApp struct {
	Display struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Background  string `json:"background_color"`
	} `json:"display_information"`
	Features struct {
		Home struct {
			Home     bool `json:"home_tab_enabled"`
			Messages bool `json:"messages_tab_enabled"`
			ReadOnly bool `json:"messages_tab_read_only_enabled"`
		} `json:"app_home"`
		Shortcuts []struct {
			Name        string `json:"name"`
			Type        string `json:"type"`
			Callback    string `json:"callback_id"`
			Description string `json:"description"`
		} `json:"shortcuts"`
		Commands []struct {
			Command     string `json:"command"`
			Description string `json:"description"`
			Hint        string `json:"usage_hint"`
			Escape      bool   `json:"should_escape"`
		} `json:"slash_commands"`
		Bot struct {
			Name   string `json:"display_name"`
			Online bool   `json:"always_online"`
		} `json:"bot_user"`
	} `json:"features"`
	OAuth struct {
		Scopes struct {
			Bot []string `json:"bot"`
		} `json:"scopes"`
	} `json:"oauth_config"`
	Settings struct {
		Events struct {
			Bot []string `json:"bot_events"`
		} `json:"event_subscriptions"`
		Interactivity struct {
			Enabled bool `json:"is_enabled"`
		} `json:"interactivity"`
		Org      bool `json:"org_deploy_enabled"`
		Socket   bool `json:"socket_mode_enabled"`
		Rotation bool `json:"token_rotation_enabled"`
	} `json:"settings"`
}

// TestSlackManifest: both forms say the same, within Slack's limits.
func TestSlackManifest(t *testing.T) {
	var y, j slackApp
	text, err := os.ReadFile("../slack/manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &y); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile("../slack/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(y, j); d != "" {
		t.Errorf("(-yaml +json):\n%s", d)
	}
	if len(y.Display.Name) > 35 || len(y.Display.Description) > 140 || !regexp.MustCompile(`^[a-z0-9._-]{1,80}$`).MatchString(y.Features.Bot.Name) || len(y.OAuth.Scopes.Bot) == 0 {
		t.Errorf("beyond Slack's limits: %+v", y)
	}
	for _, c := range y.Features.Commands {
		if !strings.HasPrefix(c.Command, "/") || len(c.Command) > 32 || c.Description == "" || len(c.Description) > 2000 || len(c.Hint) > 1000 {
			t.Errorf("beyond Slack's limits: %+v", c)
		}
	}
	for _, s := range y.Features.Shortcuts {
		if s.Type != "global" || s.Name == "" || len(s.Name) > 24 || s.Callback == "" || len(s.Callback) > 255 || s.Description == "" || len(s.Description) > 150 {
			t.Errorf("beyond Slack's limits: %+v", s)
		}
	}
	// What is subscribed to needs its scope, and nobody else's.
	for event, scope := range map[string]string{"app_mention": "app_mentions:read", "message.im": "im:history", "app_home_opened": "chat:write"} {
		if !slices.Contains(y.Settings.Events.Bot, event) || !slices.Contains(y.OAuth.Scopes.Bot, scope) {
			t.Errorf("%s with %s is not in the manifest", event, scope)
		}
	}
	if len(y.Settings.Events.Bot) != 3 || len(y.Features.Commands) != 1 || !slices.Contains(y.OAuth.Scopes.Bot, "commands") {
		t.Errorf("events %q, commands %+v", y.Settings.Events.Bot, y.Features.Commands)
	}
}
