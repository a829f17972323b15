package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/profbot/profbot/deploy"
)

// documents are what people read, from the top of the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "deploy/*.md", "deploy/*/*.md", "deploy/*/*/*.md", "deploy/helm/*/templates/NOTES.txt"} {
		files, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[f] = string(text)
		}
	}
	return out
}

var (
	// commands are what profbot is called with in an indented line, or in a
	// text between backquotes, until something else begins.
	commands = regexp.MustCompile("(?m)(^  .*\\b|`)profbot ([a-z]+ [^\\n`]*)")
	// templates are Helm's, in its notes.
	templates = regexp.MustCompile(`\{\{[^}]*\}\}`)
)

// TestDocumentedCommands: what the documents have people type is a command
// line that profbot takes.
func TestDocumentedCommands(t *testing.T) {
	parser := func() *kong.Kong { // each time a new one, since it remembers values
		p, err := kong.New(&cli{}, kong.Exit(func(int) {}), kong.Vars{"default_url": defaultURL})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var names []string
	for _, n := range parser().Model.Children {
		names = append(names, n.Name)
	}
	seen := map[string]int{}
	for file, text := range documents(t) {
		text = templates.ReplaceAllString(strings.ReplaceAll(text, "\\\n", " "), "X")
		for _, m := range commands.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(m[2], " #")
			args := words(line)
			if !slices.Contains(names, args[0]) || slices.Contains(args, "...") {
				continue // prose, or a part of one
			}
			seen[args[0]]++
			_, err := parser().Parse(args)
			// A mention in a sentence may leave out what the command is about.
			partial := err != nil && m[1] == "`" && (strings.HasPrefix(err.Error(), `expected "<`) || strings.HasPrefix(err.Error(), "missing flags"))
			if err != nil && !partial && !slices.Contains(args, "--help") {
				t.Errorf("%s: profbot %s: %v", file, line, err)
			}
		}
	}
	for _, name := range []string{"analyze", "trigger", "install", "serve", "doctor", "verify"} {
		if seen[name] == 0 {
			t.Errorf("no document calls profbot %s: %v", name, seen)
		}
	}
}

// words splits a line as a shell does, as far as the documents go.
func words(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

// TestDocumentedLink: the link that makes the Slack app without a profbot is
// the one that profbot prints.
func TestDocumentedLink(t *testing.T) {
	link, err := slackAppLink(deploy.SlackManifestJSON)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile(`https://api\.slack\.com/apps\?new_app=1[^\s)>]*`).FindAllString(text, -1) {
			if found++; m != link {
				t.Errorf("%s has another link than %s", file, link)
			}
		}
	}
	if found == 0 {
		t.Error("no document has the link")
	}
}
