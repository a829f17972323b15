package kube_test

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/incident"
)

var memory = []incident.Kind{incident.KindAllocsAfter, incident.KindAllocsBefore, incident.KindHeap}

// ports are the declared ports of a container, by name.
func ports(name string, number int32, more ...any) []corev1.ContainerPort {
	out := []corev1.ContainerPort{{Name: name, ContainerPort: number}}
	for i := 0; i < len(more); i += 2 {
		out = append(out, corev1.ContainerPort{Name: more[i].(string), ContainerPort: int32(more[i+1].(int))})
	}
	return out
}

// TestWhere: whether and where a pod serves pprof, by what teams have on their
// pods already.
func TestWhere(t *testing.T) {
	type annotations = map[string]string
	alloy := func(pairs ...string) annotations {
		m := annotations{}
		for i := 0; i < len(pairs); i += 2 {
			m["profiles.grafana.com/"+pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, tc := range map[string]struct {
		annotations annotations
		ports       []corev1.ContainerPort
		env         []corev1.EnvVar
		everyone    bool
		want        string // address; "" is no target
		found       string
		refuses     []incident.Kind
		remark      string
	}{
		"nothing":            {},
		"nothing, everyone":  {everyone: true, want: "http://:6060", found: "no opt-in is asked for"},
		"own":                {annotations: annotations{"profbot.io/scrape": "true"}, want: "http://:6060", found: "annotation profbot.io/scrape"},
		"own, all keys":      {annotations: annotations{"profbot.io/scrape": " True ", "profbot.io/port": "8443", "profbot.io/scheme": "HTTPS", "profbot.io/path": "/x/pprof/"}, want: "https://:8443/x/pprof"},
		"own, port by name":  {annotations: annotations{"profbot.io/scrape": "true", "profbot.io/port": "admin"}, ports: ports("http", 80, "admin", 9901), want: "http://:9901"},
		"own, kinds":         {annotations: annotations{"profbot.io/scrape": "true", "profbot.io/kinds": "cpu, allocs,heap goroutine"}, want: "http://:6060", refuses: []incident.Kind{incident.KindBlock, incident.KindMutex}},
		"own, unknown kind":  {annotations: annotations{"profbot.io/scrape": "true", "profbot.io/kinds": "cpu,threads"}, remark: `"threads", which is none of`},
		"own, false":         {annotations: annotations{"profbot.io/scrape": "false", "coroot.com/profile-scrape": "true"}, everyone: true},
		"own, not clear":     {annotations: annotations{"profbot.io/scrape": "yes"}, everyone: true, remark: `"yes", neither true nor false: taken as false`},
		"own port, everyone": {annotations: annotations{"profbot.io/port": "7000"}, everyone: true, want: "http://:7000"},
		"own beats others":   {annotations: annotations{"profbot.io/scrape": "true", "pyroscope.io/scrape": "false"}, want: "http://:6060", found: "annotation profbot.io/scrape"},
		"own port of others": {annotations: annotations{"profbot.io/port": "7000", "coroot.com/profile-scrape": "true", "coroot.com/profile-port": "8080"}, want: "http://:7000", found: "annotation coroot.com/profile-scrape"},

		"alloy":                     {annotations: alloy("cpu.scrape", "true", "cpu.port", "4100"), want: "http://:4100", found: "annotation profiles.grafana.com/cpu.scrape"},
		"alloy, port name":          {annotations: alloy("cpu.scrape", "true", "cpu.port_name", "http-metrics"), ports: ports("grpc", 9095, "http-metrics", 3100), want: "http://:3100"},
		"alloy, name before number": {annotations: alloy("cpu.scrape", "true", "cpu.port_name", "http2", "cpu.port", "1"), ports: ports("http2", 4040), want: "http://:4040"},
		"alloy, the only port":      {annotations: alloy("memory.scrape", "true"), ports: ports("http", 8080), want: "http://:8080", found: "annotation profiles.grafana.com/memory.scrape"},
		"alloy, many ports":         {annotations: alloy("memory.scrape", "true"), ports: ports("http", 8080, "grpc", 9090), want: "http://:6060"},
		"alloy, scheme and path":    {annotations: alloy("cpu.scrape", "true", "cpu.port", "443", "cpu.scheme", "https", "cpu.path", "/internal/debug/pprof/profile"), want: "https://:443/internal/debug/pprof"},
		"alloy, path of memory":     {annotations: alloy("memory.scrape", "true", "memory.path", "/pp/allocs"), want: "http://:6060/pp"},
		"alloy, path of what":       {annotations: alloy("cpu.scrape", "true", "cpu.path", "/pp/cpu"), remark: "ends in /profile below a folder"},
		"alloy, path at the root":   {annotations: alloy("cpu.scrape", "true", "cpu.path", "/profile"), remark: "ends in /profile below a folder"},
		"alloy, no cpu":             {annotations: alloy("cpu.scrape", "false", "memory.scrape", "true", "mutex.scrape", "false"), want: "http://:6060", refuses: []incident.Kind{incident.KindCPU, incident.KindMutex}},
		"alloy, only false":         {annotations: alloy("memory.scrape", "false"), refuses: memory},
		"alloy, false, everyone":    {annotations: alloy("memory.scrape", "false"), everyone: true, want: "http://:6060", refuses: memory},
		"alloy, first that works":   {annotations: alloy("cpu.scrape", "true", "cpu.port", "0", "memory.scrape", "true", "memory.port", "8081"), want: "http://:8081", remark: "ports are 1 to 65535"},

		"pyroscope":            {annotations: annotations{"pyroscope.io/scrape": "true", "pyroscope.io/port": "9092"}, want: "http://:9092", found: "annotation pyroscope.io/scrape"},
		"pyroscope, all keys":  {annotations: annotations{"pyroscope.io/scrape": "true", "pyroscope.io/port": "9092", "pyroscope.io/scheme": "https", "pyroscope.io/profile-cpu-path": "/d/profile"}, want: "https://:9092/d"},
		"pyroscope, no memory": {annotations: annotations{"pyroscope.io/scrape": "true", "pyroscope.io/profile-cpu-enabled": "true", "pyroscope.io/profile-mem-enabled": "false"}, want: "http://:6060", refuses: memory},
		"pyroscope, only cpu":  {annotations: annotations{"pyroscope.io/profile-cpu-enabled": "true"}},
		"pyroscope, false":     {annotations: annotations{"pyroscope.io/scrape": "false", "profefe.com/enable": "true"}, everyone: true},

		"coroot":           {annotations: annotations{"coroot.com/profile-scrape": "true", "coroot.com/profile-port": "8080"}, want: "http://:8080", found: "annotation coroot.com/profile-scrape"},
		"coroot, no port":  {annotations: annotations{"coroot.com/profile-scrape": "true"}, ports: ports("http", 8080), want: "http://:6060"},
		"profefe":          {annotations: annotations{"profefe.com/enable": "true"}, want: "http://:6060", found: "annotation profefe.com/enable"},
		"profefe, keys":    {annotations: annotations{"profefe.com/enable": "true", "profefe.com/port": "9999", "profefe.com/path": "/debug/pprof"}, want: "http://:9999/debug/pprof"},
		"iLogtail":         {env: []corev1.EnvVar{{Name: "ILOGTAIL_PROFILE_PORT", Value: "18689"}}, want: "http://:18689", found: "variable ILOGTAIL_PROFILE_PORT"},
		"iLogtail, broken": {env: []corev1.EnvVar{{Name: "ILOGTAIL_PROFILE_PORT", Value: "$PORT"}}, everyone: true, remark: "variable ILOGTAIL_PROFILE_PORT"},
		"iLogtail, secret": {env: []corev1.EnvVar{{Name: "ILOGTAIL_PROFILE_PORT", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{}}}}},

		"prometheus opts nobody in":    {annotations: annotations{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}},
		"prometheus is a hint":         {annotations: annotations{"prometheus.io/port": "9090", "prometheus.io/scheme": "https", "prometheus.io/path": "/metrics", "profbot.io/scrape": "true"}, want: "https://:9090"},
		"prometheus after the default": {annotations: annotations{"prometheus.io/port": "9090", "profbot.io/scrape": "true"}, ports: ports("http", 8080, "debug", 6060), want: "http://:6060"},
		"prometheus, broken":           {annotations: annotations{"prometheus.io/port": "0", "profbot.io/scrape": "true"}, want: "http://:6060"},
		"a port called pprof":          {annotations: annotations{"prometheus.io/port": "9090", "profbot.io/scrape": "true"}, ports: ports("http", 6060, "http-pprof", 6061), want: "http://:6061"},
		"a port for profiles":          {everyone: true, ports: ports("api-profiles", 7777), want: "http://:7777"},
		"such a port opts nobody in":   {ports: ports("pprof", 6060)},
		"not that of UDP":              {everyone: true, ports: []corev1.ContainerPort{{Name: "pprof", ContainerPort: 7777, Protocol: corev1.ProtocolUDP}}, want: "http://:6060"},

		"port 0":            {annotations: annotations{"profbot.io/scrape": "true", "profbot.io/port": "0"}, everyone: true, remark: `annotation profbot.io/port is "0", and ports are 1 to 65535`},
		"port 70000":        {annotations: annotations{"coroot.com/profile-scrape": "true", "coroot.com/profile-port": "70000"}, everyone: true, remark: "ports are 1 to 65535"},
		"port abc":          {annotations: annotations{"profefe.com/enable": "true", "profefe.com/port": "abc"}, everyone: true, remark: `"abc", which is neither a number nor the name of a container's port`},
		"port -1":           {annotations: annotations{"profefe.com/enable": "true", "profefe.com/port": "-1"}, remark: "neither a number"},
		"port +1":           {annotations: annotations{"profefe.com/enable": "true", "profefe.com/port": "+1"}, remark: "neither a number"},
		"port with a host":  {annotations: annotations{"profefe.com/enable": "true", "profefe.com/port": "evil:80"}, remark: "neither a number"},
		"scheme gopher":     {annotations: annotations{"profbot.io/scrape": "true", "profbot.io/scheme": "gopher"}, remark: "neither http nor https"},
		"path climbs":       {annotations: annotations{"profefe.com/enable": "true", "profefe.com/path": "/debug/../admin"}, everyone: true, remark: "no plain path"},
		"path is a URL":     {annotations: annotations{"profefe.com/enable": "true", "profefe.com/path": "http://evil/debug"}, remark: "no plain path"},
		"path of a host":    {annotations: annotations{"profefe.com/enable": "true", "profefe.com/path": "//evil/debug"}, remark: "no plain path"},
		"path with a query": {annotations: annotations{"profefe.com/enable": "true", "profefe.com/path": "/debug?x=1"}, remark: "no plain path"},
		"path, encoded":     {annotations: annotations{"profefe.com/enable": "true", "profefe.com/path": "/a/%2e%2e/b"}, remark: "no plain path"},
		"path, user":        {annotations: annotations{"profefe.com/enable": "true", "profefe.com/path": "@evil/"}, remark: "no plain path"},
		"a long value":      {annotations: annotations{"profefe.com/enable": "true", "profefe.com/port": strings.Repeat("9", 1000)}, remark: `9..."`},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod("api-0", "10.0.0.1", "api", tc.annotations)
			p.Spec.Containers = []corev1.Container{{Name: "app", Ports: tc.ports, Env: tc.env}}
			got := kube.Read(p, tc.everyone, 6060, "")
			address := ""
			if got.Found != "" {
				address = got.Scheme + "://" + net.JoinHostPort("", strconv.Itoa(got.Port)) + got.Path
			}
			if address != tc.want {
				t.Errorf("at %q, want %q; %+v", address, tc.want, got)
			}
			if tc.found != "" && got.Found != tc.found {
				t.Errorf("found by %q, want %q", got.Found, tc.found)
			}
			if d := cmp.Diff(tc.refuses, got.Refuses, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("refuses, -want +got:\n%s", d)
			}
			if remarks := strings.Join(got.Remarks, "; "); (tc.remark == "") != (remarks == "") || !strings.Contains(remarks, tc.remark) || len(remarks) > 300 {
				t.Errorf("remarks %q, want %q", remarks, tc.remark)
			}
		})
	}
}

// TestWho: which service a pod is of.
func TestWho(t *testing.T) {
	owner := func(kind, name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "Other", Name: "no-controller"}, {Kind: kind, Name: name, Controller: new(true)}}
		}
	}
	labels := func(pairs ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for i := 0; i < len(pairs); i += 2 {
				p.Labels[pairs[i]] = pairs[i+1]
			}
		}
	}
	annotate := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations[key] = value }
	}
	env := func(container int, name, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			c := &p.Spec.Containers[container]
			e := corev1.EnvVar{Name: name, Value: value}
			if field, ok := strings.CutPrefix(value, "field:"); ok {
				e = corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}}
			}
			c.Env = append(c.Env, e)
		}
	}
	type changes = []func(*corev1.Pod)
	for name, tc := range map[string]struct {
		changes changes
		want    string // service/env/version
	}{
		"nothing":                   {nil, "//"},
		"unified labels":            {changes{labels("tags.datadoghq.com/service", "live-api", "tags.datadoghq.com/env", "prod", "tags.datadoghq.com/version", "7")}, "live-api/prod/7"},
		"of the serving container":  {changes{labels("tags.datadoghq.com/sidecar.service", "envoy", "tags.datadoghq.com/app.service", "live-api", "tags.datadoghq.com/app.env", "prod")}, "live-api/prod/"},
		"of the standard container": {changes{labels("tags.datadoghq.com/sidecar.service", "envoy", "tags.datadoghq.com/third.service", "third"), annotate("kubectl.kubernetes.io/default-container", "third")}, "third//"},
		"variables":                 {changes{env(1, "DD_SERVICE", "live-api"), env(1, "DD_ENV", "prod"), env(1, "DD_VERSION", "7"), env(0, "DD_SERVICE", "envoy")}, "live-api/prod/7"},
		"a variable from a label":   {changes{labels("app", "live-api"), env(1, "DD_SERVICE", "field:metadata.labels['app']"), env(1, "DD_ENV", "field:metadata.namespace")}, "live-api/live/"},
		"a variable of variables":   {changes{env(1, "DD_SERVICE", "$(NAME)-api"), labels("app.kubernetes.io/name", "live-api")}, "live-api//"},
		"labels before variables":   {changes{env(1, "DD_SERVICE", "b"), labels("tags.datadoghq.com/service", "a")}, "a//"},
		"own annotation":            {changes{annotate("profbot.io/service", "live-api"), labels("app.kubernetes.io/name", "b")}, "live-api//"},
		"Datadog before own":        {changes{annotate("profbot.io/service", "b"), labels("tags.datadoghq.com/service", "a")}, "a//"},
		"own, not for a message":    {changes{annotate("profbot.io/service", "a\nb"), labels("app.kubernetes.io/name", "b")}, "b//"},
		"configured label":          {changes{labels("app.kubernetes.io/name", "live-api"), annotate("pyroscope.io/service_name", "b")}, "live-api//"},
		"Alloy's name":              {changes{annotate("profiles.grafana.com/service_name", "live-api"), annotate("pyroscope.io/application-name", "b")}, "live-api//"},
		"Pyroscope's name":          {changes{annotate("pyroscope.io/application-name", "live-api")}, "live-api//"},
		"profefe's name":            {changes{annotate("profefe.com/service", "live-api"), owner("StatefulSet", "b")}, "live-api//"},
		"Deployment":                {changes{owner("ReplicaSet", "live-api-6d4cf56db6"), labels("pod-template-hash", "6d4cf56db6")}, "live-api//"},
		"Rollout":                   {changes{owner("ReplicaSet", "live-api-6d4cf56db6"), labels("rollouts-pod-template-hash", "6d4cf56db6")}, "live-api//"},
		"a bare ReplicaSet":         {changes{owner("ReplicaSet", "live-api")}, "live-api//"},
		"StatefulSet":               {changes{owner("StatefulSet", "live-api")}, "live-api//"},
		"DaemonSet":                 {changes{owner("DaemonSet", "shipper")}, "shipper//"},
		"CronJob":                   {changes{owner("Job", "nightly-29384756")}, "nightly//"},
		"Job":                       {changes{owner("Job", "migrate-7")}, "migrate-7//"},
		"static pod":                {changes{owner("Node", "node-1"), func(p *corev1.Pod) { p.Name = "etcd-node-1" }}, "etcd//"},
		"something else":            {changes{owner("Workflow", "etl")}, "etl//"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod("api-0", "10.0.0.1", "", map[string]string{"profbot.io/scrape": "true"})
			p.Spec.Containers = []corev1.Container{{Name: "sidecar"}, {Name: "app", Ports: ports("debug", 6060)}, {Name: "third"}}
			if name == "of the standard container" {
				p.Spec.Containers[1].Ports = nil
			}
			for _, change := range tc.changes {
				change(p)
			}
			got := kube.Read(p, false, 6060, "app.kubernetes.io/name")
			if who := got.Service + "/" + got.Env + "/" + got.Version; who != tc.want {
				t.Errorf("it is %q, want %q", who, tc.want)
			}
			if (got.Found == "") != (got.Service == "") {
				t.Errorf("a target by %q of service %q", got.Found, got.Service)
			}
		})
	}
}

// TestSidecar: the ports of init containers that go on running count.
func TestSidecar(t *testing.T) {
	p := pod("api-0", "10.0.0.1", "api", optedIn)
	p.Spec.InitContainers = []corev1.Container{
		{Name: "once", Ports: ports("pprof", 1)},
		{Name: "always", Ports: ports("pprof", 2), RestartPolicy: new(corev1.ContainerRestartPolicyAlways)},
	}
	if got := kube.Read(p, false, 6060, ""); got.Port != 2 {
		t.Errorf("%+v", got)
	}
}

// FuzzRead: whatever a pod says, it is not dialled anywhere but at a real port
// of its own address, at a plain path; and what is said of it fits a message.
func FuzzRead(f *testing.F) {
	f.Add("true", "6060", "pprof", "/debug/pprof", "https", "cpu,heap", "live-api", "0", true)
	f.Add("yes", "evil:80", "", "//evil/%2e%2e", "gopher", "x", "a\nb", "70000", false)
	f.Add("false", "0", "abc", "/a/../b?x#y", "", "", "", "-1", true)
	f.Fuzz(func(t *testing.T, flag, port, name, path, scheme, kinds, service, other string, everyone bool) {
		keys := []string{
			"profbot.io/scrape", flag, "profbot.io/port", port, "profbot.io/path", path, "profbot.io/scheme", scheme, "profbot.io/kinds", kinds, "profbot.io/service", service,
			"profiles.grafana.com/cpu.scrape", flag, "profiles.grafana.com/cpu.port", other, "profiles.grafana.com/cpu.port_name", name, "profiles.grafana.com/cpu.path", path, "profiles.grafana.com/cpu.scheme", scheme,
			"pyroscope.io/scrape", flag, "pyroscope.io/port", port, "pyroscope.io/profile-cpu-path", path,
			"coroot.com/profile-scrape", flag, "coroot.com/profile-port", other,
			"profefe.com/enable", flag, "profefe.com/port", port, "profefe.com/path", path,
			"prometheus.io/port", other, "prometheus.io/scheme", scheme,
		}
		// With all keys, and with each tool's alone.
		for _, only := range []string{"", "profbot", "profiles", "pyroscope", "coroot", "profefe", "none"} {
			p := pod("api-0", "10.0.0.1", "", map[string]string{})
			for i := 0; i < len(keys); i += 2 {
				if strings.HasPrefix(keys[i], only) {
					p.Annotations[keys[i]] = keys[i+1]
				}
			}
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: service, Controller: new(true)}}
			p.Spec.Containers = []corev1.Container{{Name: "app", Ports: ports(name, int32(len(port))-2, "other", len(path)), Env: []corev1.EnvVar{{Name: "ILOGTAIL_PROFILE_PORT", Value: other}, {Name: "DD_SERVICE", Value: name}}}}
			got := kube.Read(p, everyone, 6060, "app")
			for _, words := range append(got.Remarks, got.Service, got.Env, got.Version) {
				if len(words) > 500 || strings.ContainsFunc(words, func(r rune) bool { return r < ' ' }) {
					t.Errorf("%q is not fit for a message", words)
				}
			}
			if got.Found == "" {
				continue
			}
			if got.Service == "" || got.Port < 1 || got.Port > 65535 || got.Scheme != "http" && got.Scheme != "https" {
				t.Errorf("a target at %+v", got)
			}
			u, err := url.Parse(got.Scheme + "://10.0.0.1:" + strconv.Itoa(got.Port) + got.Path + "/profile")
			if err != nil || u.Hostname() != "10.0.0.1" || u.Port() != strconv.Itoa(got.Port) || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
				u.JoinPath("x").Path != got.Path+"/profile/x" || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/../") {
				t.Errorf("a target at %q, %v", u, err)
			}
		}
	})
}
