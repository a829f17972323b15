package main

import (
	"flag"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/profbot/profbot/internal/webhook"
)

// TestMain makes this test binary profbot itself when a test runs it as such.
func TestMain(m *testing.M) {
	if os.Getenv("PROFBOT_TEST_MAIN") != "" {
		os.Unsetenv("PROFBOT_TEST_MAIN") // it would be an unknown key
		os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
	}
	// What runs side by side here waits for processes, which wait for each other:
	// a place for each processor would leave them idle.
	// Whoever says otherwise on the command line is read later, and wins.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"profbot": func() { os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			h, err := webhook.NewHandler(webhook.Options{Accepter: &accepter{}, Tokens: []string{"server-token-of-tests"}})
			if err != nil {
				return err
			}
			srv := httptest.NewServer(h)
			e.Defer(srv.Close)
			e.Setenv("WEBHOOK", srv.URL) // a public listener with this token
			for name, of := range map[string]string{"cpu.pb.gz": "only-live-std.cpu", "allocs.pb.gz": "only-live-std.allocs0", "other.pb.gz": "router-std.cpu"} {
				data, err := os.ReadFile("../../internal/analysis/testdata/corpus/" + of + ".pb.gz")
				if err != nil {
					return err
				}
				if err := os.WriteFile(e.WorkDir+"/"+name, data, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
