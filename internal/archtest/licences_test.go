package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite THIRD_PARTY.md")

// licences tells a licence by words that only its text has. The first match
// counts, so the more exact stand first.
var licences = []struct{ name, words string }{
	{"Apache-2.0", "Apache License"},
	{"MPL-2.0", "Mozilla Public License"},
	{"BSD-3-Clause", "Neither the name"},
	{"BSD-3-Clause", "names of its contributors"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
	{"ISC", "Permission to use, copy, modify, and/or distribute"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"CC0-1.0", "CC0 1.0"},
}

// TestThirdParty holds THIRD_PARTY.md to what the binary is made of.
func TestThirdParty(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-C", "../..", "-deps", "-json=Module", "./cmd/profbot").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	rows := map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if m := p.Module; m != nil && !m.Main && m.Version != "" && rows[m.Path] == "" {
			rows[m.Path] = fmt.Sprintf("| %s | %s | %s |", m.Path, m.Version, licenceOf(t, m.Dir))
		}
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, r)
	}
	slices.Sort(lines)
	got := "# What profbot's binary is made of\n\nEvery module linked into `profbot` with its licence, beside the Go standard library (BSD-3-Clause). A test holds\n" +
		"this list to the build; `make golden` rewrites it.\n\n| module | version | licence |\n|---|---|---|\n" + strings.Join(lines, "\n") + "\n"
	const file = "../../THIRD_PARTY.md"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("THIRD_PARTY.md is not what is built (-file +build):\n%s", d)
	}
}

func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[LC][IO][CP][EY]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // a folder of that name
		}
		flat := strings.Join(strings.Fields(string(text)), " ")
		for _, l := range licences {
			if strings.Contains(flat, l.words) {
				return l.name
			}
		}
	}
	t.Errorf("%s: no licence that this test can tell", filepath.Base(dir))
	return "unknown"
}
