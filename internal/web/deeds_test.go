package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// TestDeeds: what people asked for is on the page, as they typed it and no
// markup of it, and as JSON in full.
func TestDeeds(t *testing.T) {
	s := newSite(t)
	want := []incident.Deed{
		{At: start, User: "U2", Name: "bob", Channel: "C1", What: "mute <b>live-api</b> 2h", Service: "live-api", Refused: "ask <@U1>, who may"},
		{At: start, User: "U1", Name: "ann", What: "cpu live-api", Service: "live-api", Incident: "abc"},
	}
	for _, d := range []incident.Deed{want[1], want[0]} {
		if err := s.st.Note(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	page := s.get(t, "/").Body.String()
	for _, part := range []string{"cpu live-api", "ann", "the app&#39;s home", "mute &lt;b&gt;live-api", "refused: ask &lt;@U1&gt;, who may", `href="api/deeds"`} {
		if !strings.Contains(page, part) && !strings.Contains(page, strings.ReplaceAll(part, "&#39;", "'")) {
			t.Errorf("the page has no %q", part)
		}
	}
	res := s.get(t, "/api/deeds")
	var got []incident.Deed
	if err := json.Unmarshal(res.Body.Bytes(), &got); err != nil || res.Code != http.StatusOK {
		t.Fatalf("%d, %v", res.Code, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
