package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKilledWhileVerifying kills profbot while it proves the fix of an
// incident that was told, starts it again, and looks at the thread: one proof
// and one more picture.
func TestKilledWhileVerifying(t *testing.T) {
	for name, at := range map[string]string{
		"after the 202":                     "accepted",
		"before the proof is posted":        "slack:before:chat.postMessage",
		"after it, before the answer":       "slack:after:chat.postMessage",
		"while pulling":                     "pprof:/debug/pprof/profile",
		"after the proof's last edit":       "slack:after:chat.update",
		"after the share of the picture":    "slack:after:files.completeUploadExternal",
		"while asking Datadog which is hot": "datadog",
		"before the proof's event":          "event:before",
		"after the proof's event":           "event:after",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at, 1)
			first := w.serve()
			w.alert(first)
			w.untilTold(first)
			w.arm(first)
			w.verify(first)
			if at == "accepted" {
				first.kill()
			}
			first.untilKilled(t)
			second := w.serve()
			w.untilTold(second)
			second.stop()

			roots := w.slack.Messages(crashChannel)
			if len(roots) != 1 {
				t.Fatalf("%d root messages\n%s\n%s", len(roots), w.slack.Text(crashChannel), second.log())
			}
			var kinds []string
			for _, m := range w.slack.Thread(crashChannel, roots[0].TS)[1:] {
				switch {
				case len(m.Files) > 0:
					kinds = append(kinds, w.file(m.Files[0]))
				case strings.Contains(m.Text, "→"):
					kinds = append(kinds, "proof")
				default:
					kinds = append(kinds, "details")
				}
			}
			if d := cmp.Diff([]string{"flame.png", "difference.png", "details", "proof", "flame.png"}, kinds); d != "" {
				t.Errorf("the thread (-want +got):\n%s\n%s", d, w.slack.Text(crashChannel))
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.posts != 2 {
				t.Errorf("%d events on the timeline, want the verdict's and the proof's\n%s", w.posts, second.log())
			}
		})
	}
}

// verify asks for the proof of the fix of the only incident there is.
func (w *world) verify(p *process) {
	w.t.Helper()
	// The folder is in use: the page tells the incident.
	resp, err := http.Get(p.inside + "/")
	if err != nil {
		w.t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), `action="api/incidents/`)
	id, _, _ := strings.Cut(after, "/")
	if !ok {
		w.t.Fatalf("no incident to verify on the page:\n%s", page)
	}
	resp, err = http.Post(p.inside+"/api/incidents/"+id+"/verify", "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		w.t.Fatalf("status %s", resp.Status)
	}
}
