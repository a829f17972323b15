package doctor_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/doctor"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares what all cases say with a file that is to be read as the
// person on call would: what is wrong, and what to do.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// scene is one thing that goes wrong.
type scene struct {
	name string
	w    *world
}

// act walks each and writes what is not good in the area.
func act(t *testing.T, area string, scenes []scene) string {
	t.Helper()
	var b strings.Builder
	for _, s := range scenes {
		fmt.Fprintf(&b, "# %s\n", s.name)
		if s.w.pod == nil && area != "Test pull" && area != "Kubernetes" && area != "Pods" {
			s.w.pod = newPod(t, pproftest.Real)
		}
		s.w.results = nil
		if area != "Test pull" && area != "Pods" {
			s.w.opt.NoPull = true
		}
		lines, _ := s.w.walk(t)
		wrong := 0
		for i, r := range s.w.results {
			if r.Area != area || r.State == doctor.Good {
				continue
			}
			what, next, _ := strings.Cut(lines[i], " -> ")
			fmt.Fprintln(&b, strings.Replace(what, string(r.State)+" "+area+" / ", string(r.State)+" ", 1))
			if next != "" {
				fmt.Fprintf(&b, "  -> %s\n", next)
			}
			if r.State == doctor.Bad || r.State == doctor.Warning {
				wrong++
			}
		}
		if wrong == 0 {
			t.Errorf("%s: nothing is wrong\n%s", s.name, strings.Join(lines, "\n"))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestNextSlack(t *testing.T) {
	fail := func(method string, f slacktest.Failure) *world {
		return &world{prepare: func(s *slacktest.Server, _ *datadogtest.Server) { s.FailNext(method, f) }}
	}
	var scenes []scene
	for _, code := range []string{
		"invalid_auth", "account_inactive", "token_revoked", "missing_scope", "team_access_not_granted", "ekm_access_denied", "internal_error", "some_new_error",
	} {
		scenes = append(scenes, scene{"the token: " + code, fail("auth.test", slacktest.Failure{Code: code})})
	}
	channels := func(c ...slacktest.Channel) slacktest.Options { return slacktest.Options{Channels: c} }
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Sign in to the wifi</html>") }))
	defer proxy.Close()
	scenes = append(scenes,
		scene{"the token: 503", fail("auth.test", slacktest.Failure{Status: http.StatusServiceUnavailable})},
		scene{"too many requests", fail("auth.test", slacktest.Failure{RetryAfter: 30 * time.Second})},
		scene{"no scopes but one", &world{slack: slacktest.Options{Scopes: []string{"channels:read"}}}},
		scene{"channels cannot be looked at", &world{slack: slacktest.Options{Scopes: []string{"chat:write", "files:write", "files:read", "channels:history"}}}},
		scene{"not in the channel, without the right to join", &world{slack: slacktest.Options{
			Scopes:   []string{"chat:write", "files:write", "files:read", "channels:read", "channels:history"},
			Channels: []slacktest.Channel{{ID: channel, Name: "ops", Outside: true}},
		}}},
		scene{"an archived channel", &world{slack: channels(slacktest.Channel{ID: channel, Name: "ops", Archived: true})}},
		scene{"no such channel, and one of a service", &world{
			slack: channels(slacktest.Channel{ID: "C0OTHER000", Name: "live", Archived: true}), env: []string{"PROFBOT_SLACK_CHANNELS=live-api=C0OTHER000"},
		}},
		scene{"a page in place of Slack", &world{env: []string{"PROFBOT_SLACK_API_URL=" + proxy.URL + "/"}, replace: []string{proxy.URL, "PROXY"}}},
		scene{"nobody there", &world{env: []string{"PROFBOT_SLACK_API_URL=http://127.0.0.1:1/api/"}}},
	)
	golden(t, "slack.txt", act(t, "Slack", scenes))
}

func TestNextDatadog(t *testing.T) {
	fault := func(n int, f datadogtest.Fault) *world {
		return &world{prepare: func(_ *slacktest.Server, d *datadogtest.Server) { d.FaultNext(n, f) }}
	}
	const validate = "GET /api/v1/validate"
	hook := func(h datadogtest.Webhook) *world {
		h.Name, h.EncodeAs, h.Payload = "profbot", "json", "{}"
		return &world{
			opt:     doctor.Options{URL: "https://profbot.example.com/"},
			prepare: func(_ *slacktest.Server, d *datadogtest.Server) { d.PutWebhook(h) },
		}
	}
	scenes := []scene{
		{"the API key is wrong", &world{env: []string{"PROFBOT_DATADOG_API_KEY=other"}}},
		{"the site is another", &world{env: []string{"PROFBOT_DATADOG_API_KEY=other", "PROFBOT_DATADOG_SITE=us5.datadoghq.com"}}},
		{"the API key is not valid", fault(1, datadogtest.Fault{Call: validate, Status: 200, Body: `{"valid":false}`})},
		{"the application key is wrong", &world{env: []string{"PROFBOT_DATADOG_APP_KEY=other"}}},
		{"the application key has no scopes", &world{dd: datadogtest.Options{Permissions: []string{"logs_read"}}, opt: doctor.Options{URL: "https://profbot.example.com"}}},
		{"too many requests", &world{prepare: func(_ *slacktest.Server, d *datadogtest.Server) { d.FailNext(9, 300*time.Second) }}},
		{"a bad gateway", fault(2, datadogtest.Fault{Call: validate, Status: http.StatusBadGateway, Body: "upstream"})},
		{"a redirect", fault(1, datadogtest.Fault{Call: validate, Status: http.StatusFound})},
		{"a page in place of Datadog", fault(1, datadogtest.Fault{Call: validate, Status: http.StatusOK})},
		{"no such page", fault(1, datadogtest.Fault{Call: validate, Status: http.StatusNotFound})},
		{"nobody there", &world{env: []string{"PROFBOT_DATADOG_API_URL=http://127.0.0.1:1"}}},
		{"a metric without data", &world{dd: datadogtest.Options{Loads: func(string, string) map[string]float64 { return nil }}}},
		{"no webhook", &world{opt: doctor.Options{URL: "https://profbot.example.com"}}},
		{"a webhook that leads elsewhere", hook(datadogtest.Webhook{URL: "https://elsewhere/webhooks/datadog"})},
		{"a webhook without a token", hook(datadogtest.Webhook{URL: "https://profbot.example.com/webhooks/datadog"})},
	}
	golden(t, "datadog.txt", act(t, "Datadog", scenes))
}

func TestNextKubernetes(t *testing.T) {
	pods := func(verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: verbs}
	}
	in := func(o kubetest.Options, env ...string) *world {
		s := kubetest.New(t, o)
		file := s.Kubeconfig()
		return &world{
			env:     append([]string{"PROFBOT_KUBERNETES_ENABLED=true", "PROFBOT_KUBERNETES_KUBECONFIG=" + file}, env...),
			replace: []string{file, "KUBECONFIG", s.Address(), "CLUSTER"},
		}
	}
	down := kubetest.New(t, kubetest.Options{})
	file := down.Kubeconfig()
	address := down.Address()
	down.Close()
	scenes := []scene{
		{"no permission", in(kubetest.Options{Rules: []rbacv1.PolicyRule{}})},
		{"no get", in(kubetest.Options{Rules: []rbacv1.PolicyRule{pods("list", "watch")}})},
		{"no proxy", in(kubetest.Options{Rules: []rbacv1.PolicyRule{pods("get", "list", "watch")}}, "PROFBOT_KUBERNETES_REACH=proxy")},
		{"no port-forward", in(kubetest.Options{Rules: []rbacv1.PolicyRule{pods("get", "list", "watch")}}, "PROFBOT_KUBERNETES_REACH=port-forward")},
		{"one namespace of two", in(kubetest.Options{Rules: []rbacv1.PolicyRule{pods("get", "list", "watch")}, Namespaced: []string{"live"}}, "PROFBOT_KUBERNETES_NAMESPACES=live,chat")},
		{"wrong credentials", in(kubetest.Options{}, "PROFBOT_KUBERNETES_CONTEXT=other")},
		{"no such context", in(kubetest.Options{}, "PROFBOT_KUBERNETES_CONTEXT=nowhere")},
		{"no kubeconfig", in(kubetest.Options{}, "PROFBOT_KUBERNETES_KUBECONFIG=/nowhere/kubeconfig")},
		{"not in a pod", &world{env: []string{"PROFBOT_KUBERNETES_ENABLED=true"}}},
		{"the API server is down", &world{
			env: []string{"PROFBOT_KUBERNETES_ENABLED=true", "PROFBOT_KUBERNETES_KUBECONFIG=" + file}, replace: []string{file, "KUBECONFIG", address, "CLUSTER"},
		}},
		{"no pods", in(kubetest.Options{})},
		{"no pods, and no opt-in needed", in(kubetest.Options{}, "PROFBOT_KUBERNETES_OPT_IN=false")},
	}
	text := act(t, "Kubernetes", scenes) + act(t, "Pods", []scene{{"no pods", scenes[10].w}})
	for _, words := range []string{
		`annotation profbot.io/port is "seventy", which is neither a number nor the name of a container's port`,
		`annotation profbot.io/scrape is "yes", neither true nor false: taken as false`,
		`annotation profbot.io/scheme is "ftp", neither http nor https`,
		`annotation profbot.io/path is "??", which is no plain path such as /debug/pprof`,
		`annotation profbot.io/kinds has "gc", which is none of cpu, allocs, heap, goroutine, mutex and block`,
		"nothing names its service: set the label tags.datadoghq.com/service",
		"something that is said in another way",
	} {
		text += fmt.Sprintf("# remark: %s\n  -> %s\n\n", words, doctor.MendRemark(kube.Remark{Namespace: "live", Pod: "live-api-1", Words: words}))
	}
	golden(t, "kubernetes.txt", text)
}

func TestNextPull(t *testing.T) {
	var scenes []scene
	add := func(name, url string, env ...string) {
		env = append([]string{fmt.Sprintf(`PROFBOT_SERVICES=[{name: live-api, targets: [{pod: a, url: %q}]}]`, url)}, env...)
		u := strings.Split(url, "/")
		scenes = append(scenes, scene{name, &world{env: env, replace: []string{u[2], "POD"}}})
	}
	for _, m := range []pproftest.Mode{
		pproftest.NoPprof, pproftest.Page, pproftest.Heap, pproftest.Redirect, pproftest.Forbidden, pproftest.Busy, pproftest.Broken, pproftest.BadGateway,
		pproftest.TooMany, pproftest.Reset, pproftest.Cut, pproftest.BigBomb, pproftest.Promise, pproftest.Empty,
	} {
		add(string(m), newPod(t, m).PprofURL())
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	add("nothing listens", closed.URL+"/debug/pprof")
	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up
	secure.StartTLS()
	defer secure.Close()
	add("an unknown authority", secure.URL+"/debug/pprof")
	plain := newPod(t, pproftest.Real)
	add("no TLS", strings.Replace(plain.PprofURL(), "http:", "https:", 1))
	add("another network", plain.PprofURL(), "PROFBOT_CAPTURE_NETWORKS=10.0.0.0/8")
	add("a metadata address", "http://169.254.169.254/debug/pprof")
	text := act(t, "Test pull", scenes)

	listed := incident.Target{Service: "live-api", Pod: "a", URL: "http://10.1.2.3:6060/debug/pprof"}
	found := listed
	found.Namespace, found.Pod, found.UID, found.Found = "live", "live-api-0", "1", "annotation profbot.io/scrape"
	named := listed
	named.Found = "dns name live-api"
	proxied, forwarded := found, found
	proxied.Via, forwarded.Via = incident.ViaProxy, incident.ViaPortForward
	for _, tc := range []struct {
		name string
		t    incident.Target
		e    collector.Error
	}{
		{"no pprof in a pod", found, collector.Error{What: incident.OutcomeNoPprof, Words: "HTTP 404"}},
		{"no pprof behind a name", named, collector.Error{What: incident.OutcomeNoPprof, Words: "HTTP 404"}},
		{"no route to a listed pod", listed, collector.Error{What: incident.OutcomeUnreachable, Words: "no route to host"}},
		{"no route to a pod", found, collector.Error{What: incident.OutcomeUnreachable, Words: "no route to host"}},
		{"no such host", named, collector.Error{What: incident.OutcomeUnreachable, Words: "lookup live-api: no such host"}},
		{"a timeout of a pod", found, collector.Error{What: incident.OutcomeTimeout, Words: "no complete answer within 16s"}},
		{"a timeout through the proxy", proxied, collector.Error{What: incident.OutcomeTimeout, Words: "no complete answer within 16s"}},
		{"a timeout through a port-forward", forwarded, collector.Error{What: incident.OutcomeTimeout, Words: "no complete answer within 16s"}},
		{"no proxy permission", proxied, collector.Error{What: incident.OutcomeDenied, Words: `profbot's ClusterRole lacks the rule {apiGroups: [""], resources: [pods/proxy], verbs: [get]}; the API server says: no`}},
		{"an authorization through the proxy", proxied, collector.Error{What: incident.OutcomeDenied, Words: "the service has an authorization, which ...: use kubernetes.reach: pod-ip or port-forward"}},
		{"a token is asked for", found, collector.Error{What: incident.OutcomeDenied, Words: "HTTP 401", Status: 401}},
		{"a client certificate is asked for", listed, collector.Error{What: incident.OutcomeDenied, Words: "it wants another client certificate"}},
		{"no TLS in a pod", found, collector.Error{What: incident.OutcomeUnreachable, Words: "it does not speak TLS: ..."}},
		{"an error of a pod", found, collector.Error{What: incident.OutcomeTargetError, Words: "HTTP 500", Status: 500}},
		{"a short WriteTimeout", listed, collector.Error{What: incident.OutcomeTargetError, Words: "profile duration exceeds server's WriteTimeout", Status: 400}},
		{"an address in disguise", found, collector.Error{What: incident.OutcomeRefused, Words: "address ::ffff:10.1.2.3 is an IPv4 address in disguise: write it plainly"}},
		{"a pod that went away", found, collector.Error{What: incident.OutcomeGone, Words: "the pod does not exist any more"}},
	} {
		next := doctor.MendPull(tc.t, &tc.e)
		if next == "" {
			t.Errorf("%s: there is no next step", tc.name)
		}
		text += fmt.Sprintf("# %s\n  -> %s\n\n", tc.name, next)
	}
	golden(t, "pull.txt", text)
}

// TestNextExposed has what a knock as a stranger finds.
func TestNextExposed(t *testing.T) {
	at := func(url, authorization string) incident.Target {
		return incident.Target{Service: "live-api", Pod: "a", URL: url, Authorization: authorization}
	}
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("203.0.113.7")
	var b strings.Builder
	for _, tc := range []struct {
		name string
		t    incident.Target
		x    collector.Exposure
		err  error
	}{
		{"a public address", at("http://203.0.113.7:6060/debug/pprof", ""), collector.Exposure{Open: true, Public: true, Address: outside}, nil},
		{"a public address of the service", at("https://203.0.113.7/debug/pprof", ""), collector.Exposure{Open: true, Public: true, Shared: true, Address: outside}, nil},
		{"the service's port", at("http://10.1.2.3:9000/debug/pprof", ""), collector.Exposure{Open: true, Shared: true, Address: inside}, nil},
		{"a port for services", at("http://10.1.2.3:8080/debug/pprof", ""), collector.Exposure{Open: true, Address: inside}, nil},
		{"a token that nobody checks", at("http://10.1.2.3:6060/debug/pprof", "Bearer t"), collector.Exposure{Open: true, Address: inside}, nil},
		{"a private port", at("http://10.1.2.3:6060/debug/pprof", ""), collector.Exposure{Open: true, Address: inside}, nil},
		{"this machine", at("http://127.0.0.1:6060/debug/pprof", ""), collector.Exposure{Open: true, Address: netip.MustParseAddr("127.0.0.1")}, nil},
		{"a token", at("http://203.0.113.7:6060/debug/pprof", "Bearer t"), collector.Exposure{Public: true, Address: outside}, nil},
		{"a certificate", at("https://10.1.2.3:6060/debug/pprof", ""), collector.Exposure{}, &collector.Error{What: incident.OutcomeDenied, Words: "it wants another client certificate"}},
		{"no answer", at("http://10.1.2.3:6060/debug/pprof", ""), collector.Exposure{}, &collector.Error{What: incident.OutcomeTimeout, Words: "no complete answer within 10s"}},
		{"through the API server", at("http://10.1.2.3:6060/debug/pprof", ""), collector.Exposure{}, collector.ErrNotDirect},
	} {
		r := doctor.Exposed(tc.t, tc.x, tc.err)
		tell(t, &b, tc.name, r)
	}
	golden(t, "exposed.txt", b.String())
}

func tell(t *testing.T, b *strings.Builder, name string, r doctor.Result) {
	t.Helper()
	if r.State == "" {
		r.State = doctor.Good
	}
	if (r.State == doctor.Bad || r.State == doctor.Warning) && r.Next == "" {
		t.Errorf("%s: there is no next step", name)
	}
	fmt.Fprintf(b, "# %s\n%s %s\n", name, r.State, r.Note)
	if r.Next != "" {
		fmt.Fprintf(b, "  -> %s\n", r.Next)
	}
	b.WriteByte('\n')
}

// TestNextMachine is about disks and networks.
func TestNextMachine(t *testing.T) {
	var b strings.Builder
	user := fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
	group := fmt.Sprintf("fsGroup of the pod to %d", os.Getegid())
	for _, tc := range []struct {
		name string
		err  error
	}{
		{"a full disk", syscall.ENOSPC},
		{"a quota", syscall.EDQUOT},
		{"a read-only disk", syscall.EROFS},
		{"somebody else's folder", syscall.EACCES},
		{"no such folder", syscall.ENOENT},
		{"a file in its way", syscall.ENOTDIR},
		{"a broken disk", syscall.EIO},
	} {
		next := doctor.MendFolder("/var/lib/profbot", &fs.PathError{Op: "open", Path: "/var/lib/profbot/x", Err: tc.err})
		next = strings.NewReplacer(user, "UID:GID", group, "fsGroup of the pod to GID").Replace(next)
		fmt.Fprintf(&b, "# %s\n  -> %s\n\n", tc.name, next)
	}
	const free = 5 << 20
	tell(t, &b, "hardly any room", doctor.Room(free, 720*time.Hour))
	tell(t, &b, "little room", doctor.Room(500<<20, 720*time.Hour))
	tell(t, &b, "room", doctor.Room(5<<30, 720*time.Hour))

	tell(t, &b, "a clock that is slow", doctor.Clock("Slack", 7*time.Minute+300*time.Millisecond))
	tell(t, &b, "a clock that is fast", doctor.Clock("Datadog", -2*time.Hour))
	tell(t, &b, "a clock that is right", doctor.Clock("Slack", 40*time.Second))

	const me = 65532
	const dir = "/var/lib/profbot"
	for _, tc := range []struct {
		name string
		mode fs.FileMode
		own  doctor.Owner
		me   doctor.Person
	}{
		{"a volume with fsGroup", 0o770, doctor.NewOwner(0, me), doctor.NewPerson(me, true, me)},
		{"a volume with fsGroup of another group", 0o770, doctor.NewOwner(0, 1000), doctor.NewPerson(me, true, me)},
		{"an emptyDir", 0o777, doctor.NewOwner(0, me), doctor.NewPerson(me, true, me)},
		{"our own in an image without a shell", 0o755, doctor.NewOwner(me, me), doctor.NewPerson(me, true, me)},
		{"our own on a machine", 0o755, doctor.NewOwner(me, me), doctor.NewPerson(me, false, me)},
		{"our own and our group's", 0o750, doctor.NewOwner(me, me), doctor.NewPerson(me, false, me)},
		{"private", 0o700, doctor.NewOwner(me, me), doctor.NewPerson(me, true, me)},
	} {
		tell(t, &b, "access: "+tc.name, doctor.Open(dir, tc.mode, tc.own, tc.me))
	}

	op := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	for _, tc := range []struct {
		name, url string
		err       error
	}{
		{"no name", "", op("dial", &net.DNSError{Err: "no such host", Name: "slack.com", IsNotFound: true})},
		{"the walk was stopped", "", context.Canceled},
		{"refused", "", op("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED))},
		{"a timeout", "", errors.New("no answer within 15s")},
		{"a timeout of an address of one's own", "https://slack.internal/api/", errors.New("no answer within 15s")},
		{"a proxy that is not there", "", op("proxyconnect", syscall.ECONNREFUSED)},
		{"a proxy that asks for a password", "", errors.New("Proxy Authentication Required")},
		{"a proxy that looks inside", "", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}},
	} {
		fmt.Fprintf(&b, "# way to Slack: %s\n  -> %s\n\n", tc.name, doctor.Reach("slack.com", tc.url, "slack.api_url", tc.err))
	}
	golden(t, "machine.txt", b.String())
}
