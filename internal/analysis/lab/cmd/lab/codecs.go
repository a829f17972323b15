//go:build !small

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/profbot/profbot/internal/analysis/lab/codecs"
)

func init() { commands["codecs"] = runCodecs }

// runCodecs profiles every codec in turn, in slices of a round, under labels.
func runCodecs(args []string) error {
	f := flag.NewFlagSet("codecs", flag.ExitOnError)
	out := f.String("out", "lab-out", "where to write")
	each := f.Duration("each", 500*time.Millisecond, "for every codec and direction")
	name := f.String("name", "codec-lab", "of the profile")
	_ = f.Parse(args)
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return err
	}
	for _, c := range codecs.All {
		for op, do := range map[string]codecs.Op{"encode": c.Encode, "decode": c.Decode} {
			if do == nil {
				continue
			}
			var err error
			pprof.Do(context.Background(), pprof.Labels("codec", c.Name, "op", op), func(context.Context) {
				for end := time.Now().Add(*each); err == nil && time.Now().Before(end); {
					for range 20 {
						if err = do(); err != nil {
							break
						}
					}
				}
			})
			if err != nil {
				fmt.Fprintf(os.Stderr, "lab: %s %s: %v\n", c.Name, op, err)
			}
		}
	}
	pprof.StopCPUProfile()
	file := *name + ".labelled.cpu.pb.gz"
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(*out, file), b.Bytes(), 0o644); err != nil { //nolint:gosec // for all to read
		return err
	}
	return addLab(filepath.Join(*out, "truth.json"), file)
}

// addLab names a codec lab in a truth file.
func addLab(file, lab string) error {
	truth := map[string]any{}
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &truth); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	labs, _ := truth["codec_lab"].([]any)
	for _, l := range labs {
		if l == lab {
			return nil
		}
	}
	truth["codec_lab"] = append(labs, lab)
	b, err := json.MarshalIndent(truth, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // for all to read
}
