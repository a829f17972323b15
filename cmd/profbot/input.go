package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/profile"

	"github.com/profbot/profbot/internal/incident"
)

// cpuFiles is how the CPU profiles of a folder are named, as profbot names its own.
const cpuFiles = "*.cpu.pb.gz"

// expand puts a folder's CPU profiles in its place, in the order of their names.
func expand(inputs []string) ([]string, error) {
	var out []string
	for _, in := range inputs {
		info, err := os.Stat(in)
		if isURL(in) || err != nil || !info.IsDir() {
			out = append(out, in) // what cannot be read is said when it is read
			continue
		}
		entries, err := os.ReadDir(in) // not Glob: the folder's name may hold a pattern
		if err != nil {
			return nil, err
		}
		had := len(out)
		for _, e := range entries {
			if ok, err := path.Match(cpuFiles, e.Name()); err == nil && ok && !e.IsDir() {
				out = append(out, filepath.Join(in, e.Name()))
			}
		}
		if len(out) == had {
			return nil, fmt.Errorf("%s: the folder holds no %s", in, cpuFiles)
		}
	}
	return out, nil
}

func isURL(in string) bool {
	return strings.HasPrefix(in, "http://") || strings.HasPrefix(in, "https://")
}

// openFault says of an input that is no file what a person may have meant.
func openFault(in string, err error) error {
	host, _, slash := strings.Cut(in, "/")
	if !errors.Is(err, fs.ErrNotExist) || host == "" {
		return err
	}
	_, port, perr := net.SplitHostPort(host)
	if _, nerr := strconv.ParseUint(port, 10, 16); perr == nil && nerr == nil || slash && strings.Contains(in, "/debug/pprof") {
		// Without what stands before the host: it may hold a password.
		return fmt.Errorf("an address needs http://, as in http://%s", in[strings.LastIndexByte(in, '@')+1:])
	}
	return err
}

// parseCPU reads a CPU profile of a file. Errors are in the words of a person
// who gave the wrong file, not of the format.
func parseCPU(data []byte, maxRaw int64) (*profile.Profile, error) {
	if len(data) == 0 {
		return nil, errors.New("not a pprof profile: it is empty")
	}
	p, err := profile.Parse(data, maxRaw)
	if err != nil {
		return nil, err
	}
	if p.TypeIndex("cpu") < 0 {
		var holds []string
		for _, t := range p.SampleTypes {
			holds = append(holds, t.Type)
		}
		return nil, fmt.Errorf("not a CPU profile, it holds %s: give CPU profiles only, the %s files", strings.Join(holds, ", "), cpuFiles)
	}
	return p, nil
}

// otherProfiles are what net/http/pprof serves beside the CPU profile.
var otherProfiles = []string{"allocs", "block", "cmdline", "goroutine", "heap", "mutex", "symbol", "threadcreate", "trace"}

// targetOf makes a target of the address that a person gave: a process
// ("http://host:6060"), its pprof index, or the CPU profile below it. An
// address that says for how many seconds to sample is believed, as go tool
// pprof does; window is for the others.
func targetOf(addr string, window time.Duration) (incident.Target, time.Duration, error) {
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" {
		// Not quoted: it may hold a password.
		return incident.Target{}, 0, errors.New("this is no address such as http://10.1.2.3:6060/debug/pprof")
	}
	if s := u.Query().Get("seconds"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || n == 0 {
			return incident.Target{}, 0, fmt.Errorf("seconds=%s in the address of %s: want a whole number from 1", s, u.Host)
		}
		window = time.Duration(n) * time.Second
	}
	t := incident.Target{Service: u.Host, Pod: u.Host}
	if u.User != nil {
		password, _ := u.User.Password()
		t.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
		u.User = nil
	}
	u.RawQuery, u.Fragment = "", ""
	u.Path = strings.TrimRight(u.Path, "/")
	asked := u.String()
	name := path.Base(u.Path)
	other := slices.Contains(otherProfiles, name)
	if other || name == "profile" {
		u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, name), "/")
	}
	if u.Path == "" {
		u.Path = "/debug/pprof"
	}
	t.URL = u.String()
	if other {
		return incident.Target{}, 0, fmt.Errorf("%s is not a CPU profile: give %s or %[2]s/profile", asked, t.URL)
	}
	return t, window, nil
}
