package kube

import (
	"regexp"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const datadog = "tags.datadoghq.com/"

// identify finds the service, env and version of a pod: what the alerts call
// it. In this order:
//
//  1. Datadog's unified service tags: the pod's labels tags.datadoghq.com/service,
//     env and version; then tags.datadoghq.com/CONTAINER.service and so on of
//     the container that serves pprof; then the variables DD_SERVICE, DD_ENV and
//     DD_VERSION of the containers.
//  2. The annotation profbot.io/service.
//  3. The label that the configuration names (kubernetes.service_tag).
//  4. What the pod calls itself for another profiler.
//  5. The name of the workload that owns it.
//
// It is called after decide, since the port tells the container.
func (r *reading) identify(p *corev1.Pod, serviceTag string) {
	names := r.byRelevance(p)
	unified := func(tag, variable string) string {
		values := []string{p.Labels[datadog+tag]}
		for _, c := range names {
			values = append(values, p.Labels[datadog+c.Name+"."+tag])
		}
		for _, c := range names {
			values = append(values, variableOf(p, c, variable))
		}
		return firstName(values...)
	}
	r.env, r.version = unified("env", "DD_ENV"), unified("version", "DD_VERSION")
	r.service = firstName(
		unified("service", "DD_SERVICE"), p.Annotations[own+"service"], p.Labels[serviceTag],
		p.Annotations["profiles.grafana.com/service_name"], p.Annotations["pyroscope.io/service_name"],
		p.Annotations["pyroscope.io/application-name"], p.Annotations["profefe.com/service"], workload(p),
	)
}

// firstName is the first that could be a name: one line, of Datadog's 200
// characters for a tag.
func firstName(values ...string) string {
	for _, v := range values {
		v = strings.TrimSpace(v)
		if v != "" && len(v) <= 200 && !strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return v
		}
	}
	return ""
}

// byRelevance puts the container that declares the pprof port first, then the
// one that kubectl would take.
func (r *reading) byRelevance(p *corev1.Pod) []corev1.Container {
	var serves, standard, rest []corev1.Container
next:
	for _, c := range containers(p) {
		for _, d := range c.Ports {
			if r.found != "" && int(d.ContainerPort) == r.port {
				serves = append(serves, c)
				continue next
			}
		}
		if c.Name == p.Annotations["kubectl.kubernetes.io/default-container"] {
			standard = append(standard, c)
			continue
		}
		rest = append(rest, c)
	}
	return append(append(serves, standard...), rest...)
}

// cronSuffix is what a CronJob appends to its name: the time in minutes or, of
// old, in seconds.
var cronSuffix = regexp.MustCompile(`-\d{8,10}$`)

// workload is the name of what owns the pod, by the rules after which
// controllers name what they make. (A Deployment's ReplicaSet has the pods'
// template hash at its end; so has Argo's.) Reading the owners themselves would
// take permissions for six more resources.
func workload(p *corev1.Pod) string {
	owner := metav1.GetControllerOf(p)
	if owner == nil {
		return ""
	}
	switch owner.Kind {
	case "ReplicaSet":
		for _, hash := range []string{"pod-template-hash", "rollouts-pod-template-hash"} {
			if h := p.Labels[hash]; h != "" {
				if name, ok := strings.CutSuffix(owner.Name, "-"+h); ok && name != "" {
					return name
				}
			}
		}
	case "Job":
		if at := cronSuffix.FindStringIndex(owner.Name); at != nil && at[0] > 0 {
			return owner.Name[:at[0]]
		}
	case "Node": // a static pod: NAME-NODE
		if name, ok := strings.CutSuffix(p.Name, "-"+owner.Name); ok && name != "" {
			return name
		}
	}
	return owner.Name
}

// environment is the value of a variable of the first container that has it.
func environment(p *corev1.Pod, name string) string {
	for _, c := range containers(p) {
		if v := variableOf(p, c, name); v != "" {
			return v
		}
	}
	return ""
}

// variableOf is a variable as far as the pod itself says it: a literal without
// references, or a field of its metadata (Datadog's documentation sets
// DD_SERVICE from a label). Secrets and config maps are not read.
func variableOf(p *corev1.Pod, c corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name != name {
			continue
		}
		if e.ValueFrom == nil {
			if strings.Contains(e.Value, "$(") {
				return ""
			}
			return strings.TrimSpace(e.Value)
		}
		if e.ValueFrom.FieldRef == nil {
			return ""
		}
		field := e.ValueFrom.FieldRef.FieldPath
		if key, ok := strings.CutPrefix(field, "metadata.labels['"); ok {
			return p.Labels[strings.TrimSuffix(key, "']")]
		}
		if key, ok := strings.CutPrefix(field, "metadata.annotations['"); ok {
			return p.Annotations[strings.TrimSuffix(key, "']")]
		}
		switch field {
		case "metadata.name":
			return p.Name
		case "metadata.namespace":
			return p.Namespace
		}
	}
	return ""
}
