package main

import (
	"fmt"
	"runtime"

	"github.com/alecthomas/kong"

	"github.com/profbot/profbot/internal/version"
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
	v, revision := version.Get()
	if revision != "" {
		v += " " + revision
	}
	_, err := fmt.Fprintf(io.out, "profbot %s, %s %s/%s\n", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
