package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
	"github.com/profbot/profbot/internal/profile"
)

// cost is what a child process measured of itself. Times are of the wall.
type cost struct {
	Raw     int64         `json:"raw"`  // decompressed bytes of all files
	Heap    int64         `json:"heap"` // most bytes of objects above those before, live and garbage
	Live    int64         `json:"live"` // of the results, after all was collected
	RSS     int64         `json:"rss"`  // most resident bytes
	Allocs  int64         `json:"allocs"`
	Report  time.Duration `json:"report_ns"` // read, gunzip, parse and analyse
	Picture time.Duration `json:"picture_ns"`
	PNG     int           `json:"png"` // bytes of the picture
}

// beChild does what profbot does with files and writes its cost as JSON.
func beChild(files []string, w io.Writer) error {
	runtime.GC()
	var c cost
	before := heap()
	peak := watch()
	start := time.Now()
	var failed error
	res, err := analysis.AnalyzeSeq(func(yield func(analysis.PodProfiles) bool) {
		for _, name := range files {
			p, err := load(name)
			if err != nil {
				failed = err
				return
			}
			c.Raw += int64(p.RawSize())
			if !yield(analysis.PodProfiles{Pod: filepath.Base(name), CPU: p}) {
				return
			}
		}
	}, analysis.Options{})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	if err := analysis.WriteText(io.Discard, res.Report); err != nil {
		return err
	}
	c.Report = time.Since(start)
	start = time.Now()
	var png bytes.Buffer
	if err := flame.PNG(&png, res.Tree, flame.Options{Title: res.Report.Headline()}); err != nil {
		return err
	}
	c.Picture, c.PNG = time.Since(start), png.Len()
	c.Heap, c.Allocs = peak()-before, allocated()
	if c.RSS, err = resident(); err != nil {
		return err
	}
	runtime.GC()
	c.Live = heap() - before
	runtime.KeepAlive(res)
	return json.NewEncoder(w).Encode(c)
}

func load(name string) (*profile.Profile, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := profile.Parse(data, 1<<30)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func metric(name string) int64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// heap is the bytes of all objects that were not swept yet.
func heap() int64 { return metric("/memory/classes/heap/objects:bytes") }

func allocated() int64 { return metric("/gc/heap/allocs:bytes") }

// watch looks at the heap until the function that it returns is called, which
// ends its goroutine and returns the most it saw.
func watch() func() int64 {
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(300 * time.Microsecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), heap()))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-stopped
		return most.Load()
	}
}

// resident is the most memory that the process had: Linux only.
func resident() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmHWM")
}
