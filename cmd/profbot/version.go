package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type versionCmd struct{}

// versionFlag is the command as a flag, which people try first.
type versionFlag bool

// BeforeReset runs before a missing command is an error.
func (versionFlag) BeforeReset(app *kong.Kong, io streams) error {
	if err := (versionCmd{}).Run(io); err != nil {
		return err
	}
	app.Exit(0)
	return nil
}

func (versionCmd) Run(io streams) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				version += " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(io.out, "profbot %s, %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
