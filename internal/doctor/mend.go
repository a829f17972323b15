package doctor

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
)

// mendPull is the next step after a pull that failed.
func mendPull(t incident.Target, err error) string {
	e, ok := errors.AsType[*collector.Error](err)
	if !ok {
		return "run it again"
	}
	has := func(words string) bool { return strings.Contains(e.Words, words) }
	if missing := lacking(e); len(missing) > 0 {
		return missing[0].next()
	}
	switch e.What {
	case incident.OutcomeNoPprof, incident.OutcomeNotProfile:
		if has("cut off") || has("damaged") || has("is empty") {
			return fmt.Sprintf("the process, or a proxy before it, ends the answer too soon: %s", logs(t))
		}
		return fmt.Sprintf("serve pprof on a port of its own (one line: docs/adopt-pprofserve.md), or correct where it is looked for, now %s: %s", place(t), whereSaid(t))
	case incident.OutcomeUnreachable:
		switch {
		case has("certificate is not trusted"):
			return fmt.Sprintf("set tls.ca of the service %s to the file of the authority that signed the pods' certificates (and tls.server_name to the name in them)", t.Service)
		case has("does not speak TLS"):
			return sayHTTP(t)
		case has("no such host"):
			return fmt.Sprintf("correct the host's name: %s", whereSaid(t))
		case has("connection refused"):
			return fmt.Sprintf("nothing listens at %s: serve pprof there, and not on localhost alone (docs/adopt-pprofserve.md), or correct the port: %s", address(t), whereSaid(t))
		case has("closed without an answer"), has("in the middle of the answer"):
			return fmt.Sprintf("the process, or a proxy before it, hangs up: %s", logs(t))
		}
		return mendWay(t)
	case incident.OutcomeTimeout:
		return mendWay(t)
	case incident.OutcomeDenied:
		switch {
		case t.Via != incident.ViaDirect && has("kubernetes.reach"):
			return "set kubernetes.reach to port-forward and kubectl apply -f deploy/kubernetes/components/port-forward/rbac.yaml; or to pod-ip, where profbot reaches the pods' addresses"
		case has("client certificate"):
			return fmt.Sprintf("set tls.cert and tls.key of the service %s to a certificate that the pods accept", t.Service)
		}
		return fmt.Sprintf("set authorization of the service %s to what its pprof asks for (Bearer TOKEN), or user and password; where it asks for nothing, a mesh or a proxy before it says no: allow profbot's service account there", t.Service)
	case incident.OutcomeBusy:
		return "run it again in a minute; if it stays so, a continuous profiler holds the CPU profile: pkg/pprofserve lets both run (docs/adopt-pprofserve.md)"
	case incident.OutcomeTooLarge:
		return "raise capture.max_bytes (compressed) and capture.max_raw_bytes (decompressed; five times that in memory)"
	case incident.OutcomeRefused:
		switch {
		case has("never dialled"), has("in disguise"):
			return fmt.Sprintf("correct the address, which is never a pod's: %s", whereSaid(t))
		case has("capture.networks"):
			return "if that is the pod's address, add its network to capture.networks"
		}
		return fmt.Sprintf("correct the address: %s", whereSaid(t))
	case incident.OutcomeTargetError:
		if has("WriteTimeout") {
			return "raise the WriteTimeout of the server that serves pprof above capture.cpu, or serve it with pkg/pprofserve (docs/adopt-pprofserve.md)"
		}
		return fmt.Sprintf("look why the pod answers so: %s", logs(t))
	}
	return "the pod went away meanwhile: run it again"
}

// mendWay is the next step where the network lets nothing through to a pod.
func mendWay(t incident.Target) string {
	switch {
	case t.Via != incident.ViaDirect:
		return fmt.Sprintf("let the API server through to %s in namespace %s (NetworkPolicy, firewall of the nodes), and serve pprof on the pod's address; or set kubernetes.reach to pod-ip", address(t), t.Namespace)
	case !annotated(t):
		return fmt.Sprintf("open the way from here to %s (firewall), or correct it: %s", address(t), whereSaid(t))
	}
	return fmt.Sprintf("let profbot in at %s by a NetworkPolicy in namespace %s, and out as deploy/kubernetes/base/networkpolicy.yaml does; or set kubernetes.reach to proxy and kubectl apply -f deploy/kubernetes/components/proxy/rbac.yaml", address(t), t.Namespace)
}

// place is host, port and path of a target's pprof, without credentials;
// address is host and port alone.
func place(t incident.Target) string { return parts(t, true) }

func address(t incident.Target) string { return parts(t, false) }

func parts(t incident.Target, path bool) string {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return "the configured address"
	case path:
		return u.Host + u.EscapedPath()
	}
	return u.Host
}

// annotated tells whether the target's own pod says where its pprof is.
func annotated(t incident.Target) bool { return t.UID != "" }

// whereSaid is where a person says where pprof is.
func whereSaid(t incident.Target) string {
	switch {
	case annotated(t):
		return "annotations profbot.io/port and profbot.io/path in the pod's template"
	case t.Found != "":
		return fmt.Sprintf("dns and path of the service %s in the configuration", t.Service)
	}
	return fmt.Sprintf("url of the pod, in targets of the service %s in the configuration", t.Service)
}

func sayHTTP(t incident.Target) string {
	if annotated(t) {
		return `take the annotation profbot.io/scheme out of the pod's template, or set it to "http"`
	}
	return fmt.Sprintf("write http:// in the targets of the service %s, or take its tls out, in the configuration", t.Service)
}

func logs(t incident.Target) string {
	if annotated(t) {
		return fmt.Sprintf("kubectl -n %s logs %s", t.Namespace, t.Pod)
	}
	return fmt.Sprintf("curl -sv %s, and the log of %s", place(t), t.Pod)
}
