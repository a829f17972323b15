package kube

import (
	"cmp"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// locate finds scheme, port and path of a pod's pprof. profbot's own
// annotations go before those of the source. It is false, with a remark, when
// one of them cannot be understood.
func (r *reading) locate(p *corev1.Pod, s source, rules rules) bool {
	scheme, ok := r.schemeOf(p, s)
	if !ok {
		return false
	}
	port, hinted, ok := r.portOf(p, s, rules)
	if !ok {
		return false
	}
	at, ok := r.pathOf(p, s)
	if !ok {
		return false
	}
	r.scheme, r.port, r.path = cmp.Or(scheme, hinted), port, at
	return true
}

// schemeOf is "" when none is said.
func (r *reading) schemeOf(p *corev1.Pod, s source) (string, bool) {
	key, value := first(p, own+"scheme", s.scheme)
	switch v := strings.ToLower(value); v {
	case "", "http", "https":
		return v, true
	}
	r.remark("annotation %s is %s, neither http nor https", key, word(value))
	return "", false
}

// portOf also gives the scheme where the port is a guess that has one.
func (r *reading) portOf(p *corev1.Pod, s source, rules rules) (port int, scheme string, ok bool) {
	key, value := first(p, own+"port", s.portName, s.port)
	key = "annotation " + key
	if value == "" && s.env != "" {
		key, value = "variable "+ilogtail, s.env
	}
	if value == "" {
		port, scheme = guessPort(p, s, rules)
		return port, scheme, true
	}
	for _, c := range containers(p) {
		for _, d := range c.Ports {
			if d.Name == value && tcp(d) && validPort(int(d.ContainerPort)) {
				return int(d.ContainerPort), "", true
			}
		}
	}
	n, err := strconv.Atoi(value)
	switch {
	case err != nil || strings.TrimLeft(value, "0123456789") != "":
		r.remark("%s is %s, which is neither a number nor the name of a container's port", key, word(value))
		return 0, "", false
	case !validPort(n):
		r.remark("%s is %s, and ports are 1 to 65535", key, word(value))
		return 0, "", false
	}
	return n, "", true
}

// guessPort is for pods that say that they serve pprof and not where. In this
// order: a container's port with a name that people give to pprof; the default
// port where a container declares it; the port that Prometheus is told, since
// many servers have pprof beside their metrics; where the tool asks every
// declared port, the only one; the default.
func guessPort(p *corev1.Pod, s source, rules rules) (port int, scheme string) {
	var declared []int
	for _, c := range containers(p) {
		for _, d := range c.Ports {
			if !tcp(d) || !validPort(int(d.ContainerPort)) {
				continue
			}
			if namesPprof(d.Name) {
				return int(d.ContainerPort), ""
			}
			declared = append(declared, int(d.ContainerPort))
		}
	}
	for _, n := range declared {
		if n == rules.port {
			return n, ""
		}
	}
	if n, err := strconv.Atoi(p.Annotations["prometheus.io/port"]); err == nil && validPort(n) {
		if p.Annotations["prometheus.io/scheme"] == "https" {
			return n, "https"
		}
		return n, ""
	}
	if s.anyPort && len(declared) == 1 {
		return declared[0], ""
	}
	return rules.port, ""
}

func namesPprof(port string) bool {
	return port == "pprof" || port == "profiles" || strings.HasSuffix(port, "-pprof") || strings.HasPrefix(port, "pprof-") || strings.HasSuffix(port, "-profiles")
}

func validPort(n int) bool { return n > 0 && n < 1<<16 }

func tcp(p corev1.ContainerPort) bool { return p.Protocol == "" || p.Protocol == corev1.ProtocolTCP }

// pathOf is "" when none is said.
func (r *reading) pathOf(p *corev1.Pod, s source) (string, bool) {
	key, value := first(p, own+"path", s.path)
	if value == "" {
		return "", true
	}
	at := strings.TrimRight(value, "/")
	if !plainPath(at) {
		r.remark("annotation %s is %s, which is no plain path such as /debug/pprof", key, word(value))
		return "", false
	}
	if key != own+"path" && s.profile != "" {
		index, found := strings.CutSuffix(at, "/"+s.profile)
		if !found && s.profile == "heap" {
			index, found = strings.CutSuffix(at, "/allocs")
		}
		if !found || index == "" {
			r.remark("annotation %s is %s, and the other profiles are found where it ends in /%s below a folder", key, word(value), s.profile)
			return "", false
		}
		at = index
	}
	return at, true
}

// plainPath tells whether a path has nothing in it that means something else
// to a URL or climbs out of where it points to.
func plainPath(p string) bool {
	if !strings.HasPrefix(p, "/") || len(p) > 200 || path.Clean(p) != p {
		return false
	}
	for _, c := range []byte(p) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/-._~", c) >= 0 {
			continue
		}
		return false
	}
	return true
}

// first is the first of the annotations that says something.
func first(p *corev1.Pod, keys ...string) (key, value string) {
	for _, k := range keys {
		if v := strings.TrimSpace(p.Annotations[k]); k != "" && v != "" {
			return k, v
		}
	}
	return "", ""
}

// containers are those that run as long as the pod does: init containers only
// where they are sidecars.
func containers(p *corev1.Pod) []corev1.Container {
	out := p.Spec.Containers
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out[:len(out):len(out)], c)
		}
	}
	return out
}
