package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/analysis/lab/routers"
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

func run(args []string) error {
	f := flag.NewFlagSet("run", flag.ExitOnError)
	out := f.String("out", "lab-out", "where to write")
	codec := f.String("codec", "json", "of the values in Redis")
	length := f.Duration("for", 8*time.Second, "the profile's window")
	build := f.String("build", "", "a word for the names of the files: how the binary was built")
	bin := f.String("bin", os.Args[0], "the binary that serves")
	_ = f.Parse(args)
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	for _, router := range f.Args() {
		name := "lab-" + router
		if *build != "" {
			name += "-" + *build
		}
		if *codec != "json" {
			name += "-" + *codec
		}
		if err := one(*out, name, *bin, router, *codec, *length); err != nil {
			fmt.Fprintf(os.Stderr, "lab: %s: %v\n", name, err)
		}
	}
	return nil
}

// child is this program again. It ends when its standard input closes.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
}

func start(v any, bin string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(bin, args...)} //nolint:gosec // it is this program
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.in = in
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			c.stop()
			return nil, fmt.Errorf("%s ended at once: %w", args[0], err)
		}
		if json.Unmarshal(line, v) == nil {
			break // what frameworks print is not JSON
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the child
	return c, nil
}

func (c *child) stop() {
	_ = c.in.Close()
	time.AfterFunc(3*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait()
}

// one runs one router and writes its profiles and truth.
func one(out, name, bin, router, codec string, length time.Duration) error {
	var addrs map[string]string
	back, err := start(&addrs, os.Args[0], "backend", "-codec", codec)
	if err != nil {
		return err
	}
	defer back.stop()
	at, err := json.Marshal(addrs)
	if err != nil {
		return err
	}
	var r running
	server, err := start(&r, bin, "serve", "-router", router, "-codec", codec, "-backend", string(at))
	if err != nil {
		return err
	}
	defer server.stop()

	spec := routers.All[router](svc.New())
	drive := spec.Drive
	if drive == nil {
		drive = (&load{h2c: spec.H2C}).drive
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for endpoint := range r.Handlers {
		wg.Go(func() {
			if err := drive(r.Addr, endpoint, stop); err != nil {
				fmt.Fprintf(os.Stderr, "lab: %s: %s: %v\n", name, endpoint, err)
			}
		})
	}
	time.Sleep(time.Second) // connections and caches warm up
	t, err := fetch(r.Admin, length)
	close(stop)
	wg.Wait()
	if err != nil {
		return err
	}
	return write(out, name, router, codec, r, t)
}

func fetch(admin string, length time.Duration) (*taken, error) {
	resp, err := http.Get("http://" + admin + "/?for=" + url.QueryEscape(length.String()))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the profile: %s", resp.Status)
	}
	t := new(taken)
	return t, json.NewDecoder(resp.Body).Decode(t)
}

// write stores profiles and adds them to the truth.
func write(out, name, router, codec string, r running, t *taken) error {
	files := map[string][]byte{"cpu": t.CPU, "allocs0": t.Allocs0, "allocs1": t.Allocs1, "goroutine": t.Goroutine}
	for kind, b := range files {
		if err := os.WriteFile(filepath.Join(out, name+"."+kind+".pb.gz"), b, 0o644); err != nil { //nolint:gosec // for all to read
			return err
		}
	}
	return addTruth(filepath.Join(out, "truth.json"), name, router, codec, r, t)
}

// load is a client of HTTP endpoints.
type load struct{ h2c bool }

// drive asks for one endpoint again and again until stop is closed.
func (d *load) drive(addr, endpoint string, stop <-chan struct{}) error {
	body, err := json.Marshal(svc.ChatMsg{Room: "lab", Items: svc.NewFeed(25).Items})
	if err != nil {
		return err
	}
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!d.h2c)
	tr.Protocols.SetUnencryptedHTTP2(d.h2c)
	client := &http.Client{Transport: tr, Timeout: 5 * time.Second}
	return routers.Every(stop, func() error {
		var resp *http.Response
		if endpoint == "chat" || endpoint == "post" {
			resp, err = client.Post("http://"+addr+"/"+endpoint, "application/json", bytes.NewReader(body))
		} else {
			resp, err = client.Get("http://" + addr + "/" + endpoint + "?id=7")
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %.200s", resp.Status, b)
		}
		return err
	})
}
