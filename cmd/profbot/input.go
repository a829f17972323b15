package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

func isURL(in string) bool {
	return strings.HasPrefix(in, "http://") || strings.HasPrefix(in, "https://")
}

// addressFault says of a file that does not exist that it looks like an
// address; nil when it does not.
func addressFault(in string) error {
	host, _, slash := strings.Cut(in, "/")
	if host == "" {
		return nil
	}
	_, port, perr := net.SplitHostPort(host)
	if _, nerr := strconv.ParseUint(port, 10, 16); perr == nil && nerr == nil || slash && strings.Contains(in, "/debug/pprof") {
		// Without what stands before the host: it may hold a password.
		return fmt.Errorf("an address needs http://, as in http://%s", in[strings.LastIndexByte(in, '@')+1:])
	}
	return nil
}

// otherProfiles are what net/http/pprof serves beside the CPU profile.
var otherProfiles = []string{"allocs", "block", "cmdline", "goroutine", "heap", "mutex", "symbol", "threadcreate", "trace"}

// targetOf makes a target of the address that a person gave: a process
// ("http://host:6060"), its pprof index, or a profile below it; only is the
// kind where that is not the CPU profile, and "" means all. An address that says for how many seconds to sample is believed, as go tool
// pprof does; window is for the others.
func targetOf(addr string, window time.Duration) (t incident.Target, _ time.Duration, only incident.Kind, _ error) {
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" {
		// Not quoted: it may hold a password.
		return incident.Target{}, 0, "", errors.New("this is no address such as http://10.1.2.3:6060/debug/pprof")
	}
	if s := u.Query().Get("seconds"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || n == 0 {
			return incident.Target{}, 0, "", fmt.Errorf("seconds=%s in the address of %s: want a whole number from 1", s, u.Host)
		}
		window = time.Duration(n) * time.Second
	}
	t = incident.Target{Service: u.Host, Pod: u.Host}
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
	only = single[name]
	if other && only == "" {
		return incident.Target{}, 0, "", fmt.Errorf("%s is no profile that says something here: give %s or %[2]s/profile", asked, t.URL)
	}
	return t, window, only, nil
}
