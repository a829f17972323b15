package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary profbot itself when a test runs it as such.
func TestMain(m *testing.M) {
	if os.Getenv("PROFBOT_TEST_MAIN") != "" {
		os.Unsetenv("PROFBOT_TEST_MAIN") // it would be an unknown key
		os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
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
			for name, kind := range map[string]string{"cpu.pb.gz": "cpu", "allocs.pb.gz": "allocs0"} {
				data, err := os.ReadFile("../../internal/analysis/testdata/corpus/only-live-std." + kind + ".pb.gz")
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
