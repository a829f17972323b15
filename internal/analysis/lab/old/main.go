// Command old is the lab's service for toolchains as old as Go 1.13: the
// standard library and two old cache clients, without generics. It serves, loads
// itself from a second process, and writes profiles and truth as lab does.
//
//	GOTOOLCHAIN=go1.18.10 go build -o old . && ./old run NAME DIR
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "run":
		err = run(os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == "load":
		err = load(os.Args[2])
	default:
		err = errors.New("usage: old run NAME DIR")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "old:", err)
		os.Exit(1)
	}
}

// run serves, profiles itself for eight seconds and writes the result.
func run(name, dir string) error {
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_ = back.Close()
	// The load process also serves what the service asks for.
	cmd := exec.Command(os.Args[0], "load", back.Addr().String()+","+l.Addr().String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer in.Close() // ends it
	s, err := newServer("http://" + back.Addr().String())
	if err != nil {
		return err
	}
	go http.Serve(l, s.routes()) // ends with the process
	time.Sleep(2 * time.Second)

	var cpu, allocs0, allocs1 bytes.Buffer
	if err := pprof.Lookup("allocs").WriteTo(&allocs0, 0); err != nil {
		return err
	}
	before := s.read()
	if err := pprof.StartCPUProfile(&cpu); err != nil {
		return err
	}
	time.Sleep(8 * time.Second)
	after := s.read()
	pprof.StopCPUProfile()
	if err := pprof.Lookup("allocs").WriteTo(&allocs1, 0); err != nil {
		return err
	}
	for kind, b := range map[string][]byte{"cpu": cpu.Bytes(), "allocs0": allocs0.Bytes(), "allocs1": allocs1.Bytes()} {
		if err := ioutil.WriteFile(filepath.Join(dir, name+"."+kind+".pb.gz"), b, 0o644); err != nil {
			return err
		}
	}
	return addTruth(filepath.Join(dir, "truth.json"), name, before, after)
}

func addTruth(file, name string, before, after map[string]reading) error {
	truth := map[string]interface{}{}
	if b, err := ioutil.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &truth); err != nil {
			return err
		}
	}
	endpoints := map[string]interface{}{}
	for e, a := range after {
		b := before[e]
		total := float64(a.get + a.decode + a.app - b.get - b.decode - b.app)
		endpoints[e] = map[string]interface{}{
			"decode_share": float64(a.decode-b.decode) / total, "handler_cpu_s": total / 1e9, "decode_source": sources[e],
			"expected_handler_regexp": handlers[e], "true_endpoint_marker_frame": markers[e],
		}
	}
	profiles, _ := truth["profiles"].([]interface{})
	truth["profiles"] = append(profiles, map[string]interface{}{
		"cpu": name + ".cpu.pb.gz", "allocs_before": name + ".allocs0.pb.gz", "allocs_after": name + ".allocs1.pb.gz",
		"router": "std", "codec": "json", "endpoints": endpoints, "go": runtime.Version(),
	})
	b, err := json.MarshalIndent(truth, "", " ")
	if err != nil {
		return err
	}
	return ioutil.WriteFile(file, b, 0o644)
}

// load is the upstream and the clients; it runs until its standard input closes.
func load(addrs string) error {
	parts := strings.Split(addrs, ",")
	body, err := json.Marshal(newFeed(25))
	if err != nil {
		return err
	}
	go http.ListenAndServe(parts[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(body) }))
	for _, e := range []string{"gift", "rank", "user", "chat"} {
		go client("http://"+parts[1]+"/"+e, e == "chat", body) // ends with the process
	}
	_, err = os.Stdin.Read(make([]byte, 1))
	if err == io.EOF {
		return nil
	}
	return err
}

func client(url string, post bool, body []byte) {
	for n := 0; ; n++ {
		// The pauses differ, so that nothing keeps time with the sampling.
		time.Sleep(time.Duration(500+n*7919%2300) * time.Microsecond)
		method, r := http.MethodGet, io.Reader(nil)
		if post {
			method, r = http.MethodPost, bytes.NewReader(body)
		}
		req, err := http.NewRequest(method, url, r)
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req.WithContext(context.Background()))
		if err != nil {
			continue // it is not up yet
		}
		_, _ = io.Copy(ioutil.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
