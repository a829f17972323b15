package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sites are Datadog's sites; another one is possible with datadog.api_url.
var sites = []string{
	"datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "ap1.datadoghq.com", "ap2.datadoghq.com", "uk1.datadoghq.com",
	"datadoghq.eu", "ddog-gov.com", "us2.ddog-gov.com",
}

// metricName is the form of a metric's name in Datadog.
var metricName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]*$`)

// channelID is the form of a Slack channel's id; names are not accepted by
// every call.
var channelID = regexp.MustCompile(`^[CG][A-Z0-9]{6,}$`)

// bad notes a fault at the place where the key was set, or where its nearest
// parent was.
func (l *loader) bad(key, problem, fix string) {
	for _, f := range l.unread {
		if f.Key == "" || key == f.Key || strings.HasPrefix(key, f.Key+".") || strings.HasPrefix(key, f.Key+"[") {
			return
		}
	}
	f := Fault{File: l.file, Key: key, Problem: problem, Fix: fix}
	for at := key; ; {
		if p, ok := l.places[at]; ok {
			f.File, f.Line, f.Column = p.file, p.line, p.column
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	if f.File == "" && l.places[""].file != "" {
		f.File, f.Line, f.Column = l.places[""].file, 1, 1
	}
	l.faults = append(l.faults, f)
}

func (l *loader) missing(key, what string) {
	problem := "this is required"
	if comment, ok := l.empty[key]; ok {
		problem = noValue(comment)
	}
	l.bad(key, problem, fmt.Sprintf("write %s, or set %s", what, envName(key)))
}

// noValue says that a key has none. Text after # is a comment, which surprises
// who writes a channel's name there.
func noValue(comment bool) string {
	if comment {
		return "this has no value, since # begins a comment (quote a value that begins with it)"
	}
	return "this has no value"
}

// check holds the values against each other and against what others accept.
func (l *loader) check() {
	c := l.cfg
	l.address("listen.public", c.Listen.Public)
	l.address("listen.internal", c.Listen.Internal)
	l.httpURL("listen.url", c.Listen.URL, true)
	if c.Data == "" {
		l.bad("data", "this is empty", "name a folder")
	}
	if n := len(c.LinkKey); n > 0 && n < 32 {
		l.bad("link_key", fmt.Sprintf("%d characters are too few to sign with", n), "use at least 32, or leave the key out")
	}
	if c.Retention < time.Hour {
		l.bad("retention", c.Retention.String()+" is too short to read a report", "write at least 1h")
	}
	l.oneOf("log.level", strings.ToLower(c.Log.Level), "debug", "info", "warn", "error")
	l.oneOf("log.format", c.Log.Format, "text", "json")
	l.slack()
	l.webhook()
	l.datadog()
	l.services()
	l.kubernetes()

	between(l, "capture.cpu", c.Capture.CPU, time.Second, 5*time.Minute)
	between(l, "capture.pods", c.Capture.Pods, 1, 20)
	between(l, "capture.cool_down", c.Capture.CoolDown, time.Second, 7*24*time.Hour)
	between(l, "capture.simultaneous", c.Capture.Simultaneous, 1, 64)
	between(l, "capture.per_service", c.Capture.PerService, 1, 64)
	between(l, "capture.per_node", c.Capture.PerNode, 1, 64)
	between(l, "capture.jitter", c.Capture.Jitter, 0, time.Minute)
	between(l, "capture.failures", c.Capture.Failures, 1, 1000)
	for i, n := range c.Capture.Networks {
		if _, err := netip.ParsePrefix(n); err != nil {
			l.bad(fmt.Sprintf("capture.networks[%d]", i), fmt.Sprintf("%q is no network", n), "write an address with its bits, such as 10.0.0.0/8")
		}
	}
	between(l, "capture.max_bytes", c.Capture.MaxBytes, 1<<10, 1<<30)
	between(l, "capture.max_raw_bytes", c.Capture.MaxRawBytes, 1<<10, 4<<30)
	between(l, "verdict.min_share", c.Verdict.MinShare, 0.0001, 1)
	between(l, "verdict.min_samples", c.Verdict.MinSamples, 1, 1_000_000)
	between(l, "verdict.dominated", c.Verdict.Dominated, 0.01, 1)
	between(l, "verdict.compress", c.Verdict.Compress, 0.01, 1)
	between(l, "verdict.gc", c.Verdict.GC, 0.01, 1)
	between(l, "verdict.regexp_compile", c.Verdict.RegexpCompile, 0.0001, 1)
	between(l, "verdict.hot", c.Verdict.Hot, 0.01, 1)
	between(l, "verdict.lock_wait", c.Verdict.LockWait, 0.001, 1_000_000)
	between(l, "verdict.pile_up", c.Verdict.PileUp, 1, 10_000_000)
	between(l, "verdict.heap_growth", c.Verdict.HeapGrowth, 0.001, 1000)
}

func between[T int | int64 | float64 | time.Duration](l *loader, key string, v, low, high T) {
	if v < low || v > high {
		l.bad(key, fmt.Sprintf("%v is out of range", v), fmt.Sprintf("write %v to %v", low, high))
	}
}

func (l *loader) oneOf(key, v string, known ...string) {
	if !slices.Contains(known, v) {
		l.bad(key, fmt.Sprintf("%q is not known", v), "write "+strings.Join(known, ", "))
	}
}

func (l *loader) address(key, v string) {
	_, port, err := net.SplitHostPort(v)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		l.bad(key, fmt.Sprintf("%q is no address to listen on", v), "write host:port, or :port for all hosts")
	}
}

func (l *loader) httpURL(key, v string, optional bool) {
	if v == "" && optional {
		return
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		l.bad(key, "this is no http or https address", "write it whole, such as http://10.1.2.3:6060")
	case u.User != nil:
		l.bad(key, "the address holds a password", "leave user and password out of addresses")
	}
}

// placeholder is what is wrong with a secret that was copied from an example.
const placeholder = "this is an example's placeholder"

func (l *loader) slack() {
	s := l.cfg.Slack
	switch {
	case s.Token == "":
		l.missing("slack.token", "the app's bot token")
	case strings.HasSuffix(s.Token.Reveal(), "..."):
		l.bad("slack.token", placeholder, "copy the Bot User OAuth Token from the app's OAuth & Permissions page")
	case !strings.HasPrefix(s.Token.Reveal(), "xoxb-"):
		l.bad("slack.token", "this is no bot token", "take the Bot User OAuth Token, which begins with xoxb-")
	}
	const find = "write the id, not the name; it is at the end of the channel's link, such as C0123456789"
	switch {
	case s.Channel == "":
		l.missing("slack.channel", "a channel's id, such as C0123456789, not its name")
	case !channelID.MatchString(s.Channel):
		l.bad("slack.channel", fmt.Sprintf("%q is no channel id", s.Channel), find)
	}
	for service, id := range s.Channels {
		if comment, ok := l.empty["slack.channels."+service]; ok && id == "" {
			l.bad("slack.channels."+service, noValue(comment), find)
		} else if !channelID.MatchString(id) {
			l.bad("slack.channels."+service, fmt.Sprintf("%q is no channel id", id), find)
		}
	}
	l.httpURL("slack.api_url", s.APIURL, true)
	l.asking()
}

func (l *loader) webhook() {
	w := l.cfg.Webhook
	if len(w.Tokens)+len(w.Basic) == 0 {
		l.missing("webhook.tokens", "a token that Datadog sends")
	}
	const strong = "make one with: openssl rand -hex 24"
	for i, t := range w.Tokens {
		if len(t) < 16 {
			l.bad(fmt.Sprintf("webhook.tokens[%d]", i), fmt.Sprintf("%d characters can be guessed", len(t)), strong)
		}
	}
	for i, u := range w.Basic {
		key := fmt.Sprintf("webhook.basic[%d]", i)
		if u.User == "" || strings.Contains(u.User, ":") {
			l.bad(key+".user", "this is empty or holds a colon", "write a name")
		}
		if len(u.Password) < 16 {
			l.bad(key+".password", fmt.Sprintf("%d characters can be guessed", len(u.Password)), strong)
		}
	}
}

func (l *loader) datadog() {
	d := l.cfg.Datadog
	if !slices.Contains(sites, d.Site) && d.APIURL == "" {
		l.bad("datadog.site", fmt.Sprintf("%q is no Datadog site", d.Site), "write one of "+strings.Join(sites, ", "))
	}
	if (d.APIKey == "") != (d.AppKey == "") {
		key, have := "datadog.app_key", "datadog.api_key"
		if d.APIKey == "" {
			key, have = have, key
		}
		l.bad(key, "this is missing while "+have+" is set", "queries need both keys")
	}
	for key, k := range map[string]Secret{"datadog.api_key": d.APIKey, "datadog.app_key": d.AppKey} {
		if strings.HasSuffix(k.Reveal(), "...") {
			l.bad(key, placeholder, "copy the key from Datadog's organization settings, or leave both keys out")
		}
	}
	if !metricName.MatchString(d.Metric) {
		l.bad("datadog.metric", fmt.Sprintf("%q is no metric name", d.Metric), "write the name alone, such as container.cpu.usage")
	}
	if d.Requests != "" && !metricName.MatchString(d.Requests) {
		l.bad("datadog.requests", fmt.Sprintf("%q is no metric name", d.Requests), "write the name alone, such as trace.http.request.hits")
	}
	if !metricName.MatchString(d.Memory) {
		l.bad("datadog.memory", fmt.Sprintf("%q is no metric name", d.Memory), "write the name alone, such as container.memory.usage")
	}
	if d.Endpoints != "" && !metricName.MatchString(d.Endpoints) {
		l.bad("datadog.endpoints", fmt.Sprintf("%q is no metric name", d.Endpoints), "write the name alone, such as trace.http.request.hits")
	}
	l.httpURL("datadog.api_url", d.APIURL, true)
}

func (l *loader) kubernetes() {
	k := l.cfg.Kubernetes
	if !k.Enabled {
		return
	}
	between(l, "kubernetes.port", k.Port, 1, 65535)
	l.oneOf("kubernetes.reach", k.Reach, "pod-ip", "proxy", "port-forward")
}

func (l *loader) services() {
	if len(l.cfg.Services) == 0 && !l.cfg.Kubernetes.Enabled {
		l.missing("services", "at least one service with its pods (or kubernetes.enabled: true)")
	}
	envs := map[[2]string][]string{} // of a service's pod
	for i, s := range l.cfg.Services {
		key := fmt.Sprintf("services[%d]", i)
		if s.Name == "" {
			l.bad(key+".name", "this is required", "write the service's tag in Datadog")
		}
		if len(s.Targets) == 0 && s.DNS == "" && !l.cfg.Kubernetes.Enabled {
			l.bad(key+".targets", "the service has no pods", "list pod and url of each, write dns, or set kubernetes.enabled")
		}
		if len(s.Targets) > 0 && s.DNS != "" {
			l.bad(key+".dns", "the service has targets too", "keep one of the two")
		}
		if s.Authorization != "" && (s.User != "" || s.Password != "") {
			l.bad(key+".user", "the service has authorization too", "keep one of the two")
		}
		if (s.User == "") != (s.Password == "") || strings.Contains(s.User, ":") {
			l.bad(key+".user", "user and password come together, and a user has no colon", "write both, or neither")
		}
		if (s.TLS.Cert == "") != (s.TLS.Key == "") {
			l.bad(key+".tls.cert", "a certificate and its key come together", "write both, or neither")
		}
		if s.Path != "" && (!strings.HasPrefix(s.Path, "/") || path.Clean(s.Path) != cmp.Or(strings.TrimRight(s.Path, "/"), "/") || strings.ContainsAny(s.Path, "?#%@ ")) {
			l.bad(key+".path", fmt.Sprintf("%q is no path", s.Path), "write one such as /debug/pprof")
		}
		l.credentials(key, s)
		for j, t := range s.Targets {
			at := fmt.Sprintf("%s.targets[%d]", key, j)
			if t.Pod == "" {
				l.bad(at+".pod", "this is required", "write the pod's name")
			}
			l.httpURL(at+".url", t.URL, false)
			if s.TLS != (TLS{}) && strings.HasPrefix(strings.ToLower(t.URL), "http:") {
				l.bad(at+".url", "the service has tls, and this address is in clear", "begin it with https:")
			}
			id := [2]string{s.Name, t.Pod}
			same := slices.IndexFunc(envs[id], func(env string) bool { return env == s.Env || env == "" || s.Env == "" }) // no env means every one
			switch {
			case t.Pod == "" || same < 0:
			case envs[id][same] == s.Env:
				l.bad(at+".pod", fmt.Sprintf("%q is listed twice", t.Pod), "give every pod its own name")
			default:
				l.bad(at+".pod", fmt.Sprintf("%q is listed for one env and for any", t.Pod), "give each of the services its env, or drop one")
			}
			envs[id] = append(envs[id], s.Env)
		}
	}
}

// credentials are held against where they would go: pods that are discovered
// get them in the service's own namespace alone, and never through the API
// server's proxy. What is listed is dialled as it stands there.
func (l *loader) credentials(key string, s Service) {
	k := l.cfg.Kubernetes
	have := s.guarded()
	if !k.Enabled || have == "" || len(s.Targets) > 0 || s.DNS != "" {
		return
	}
	if s.Namespace == "" {
		l.bad(key+".namespace", "this is required beside "+have+": any pod of the cluster may call itself "+s.Name, "write the namespace of its pods, which alone get it")
	}
	if k.Reach == "proxy" {
		l.bad(key+"."+have, "this does not get through the API server's proxy", "set kubernetes.reach to pod-ip or port-forward")
	}
}

// guarded is the key by which the service's pods are told who profbot is, or
// profbot who they are; "" where there is none.
func (s Service) guarded() string {
	switch {
	case s.Authorization != "":
		return "authorization"
	case s.User != "":
		return "user"
	case s.TLS != (TLS{}):
		return "tls"
	}
	return ""
}
