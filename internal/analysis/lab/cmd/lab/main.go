// Command lab makes profiles whose truth is known, of the service in package
// svc on routers and codecs that the corpus does not hold.
//
//	lab run -out DIR [-for 8s] [-codec NAME] [-build NAME] ROUTER...
//	lab codecs -out DIR [-each 500ms]
//
// A build with the tag small leaves out the codecs, the database and the larger
// frameworks, for trying ways to build: -trimpath, -gcflags=all=-l, a vendor folder.
//
// Run starts itself three times for every router: the stores, the server, and
// the load, so that the profile shows the server alone. It adds the profiles
// to DIR/truth.json.
package main

import (
	"fmt"
	"os"
)

// commands by name.
var commands = map[string]func([]string) error{"run": run, "backend": stores, "serve": serve}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: lab run|codecs")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
