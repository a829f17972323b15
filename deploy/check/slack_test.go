package check

import (
	"encoding/json"
	"os"
	"regexp"
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
	Settings map[string]bool `json:"settings"`
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
}
