package check

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// each runs f on every rendering.
func each(t *testing.T, f func(t *testing.T, objs objects)) {
	t.Helper()
	for name, objs := range renderings(t) {
		t.Run(name, func(t *testing.T) { f(t, objs) })
	}
}

// TestPod: the pod can do no more than it must.
func TestPod(t *testing.T) {
	each(t, func(t *testing.T, objs objects) {
		for _, problem := range podProblems(container(t, objs)) {
			t.Error(problem)
		}
	})
}

// TestPodPoliciesBite breaks each policy.
func TestPodPoliciesBite(t *testing.T) {
	objs := overlay(t, "base")
	for want, spoil := range map[string]func(*corev1.PodSpec, *corev1.Container){
		"root":      func(p *corev1.PodSpec, _ *corev1.Container) { p.SecurityContext.RunAsNonRoot = nil },
		"read-only": func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = nil },
		"capability": func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"}
		},
		"host": func(p *corev1.PodSpec, _ *corev1.Container) { p.HostNetwork = true },
		"volume": func(p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes[0].HostPath = &corev1.HostPathVolumeSource{Path: "/"}
		},
		"limit":     func(_ *corev1.PodSpec, c *corev1.Container) { c.Resources.Limits = nil },
		"pinned":    func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = "ghcr.io/profbot/profbot:latest" },
		"seccomp":   func(p *corev1.PodSpec, _ *corev1.Container) { p.SecurityContext.SeccompProfile = nil },
		"links":     func(p *corev1.PodSpec, _ *corev1.Container) { p.EnableServiceLinks = nil },
		"privilege": func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.Privileged = new(true) },
	} {
		pod, c := container(t, objects{"StatefulSet": one[*appsv1.StatefulSet](t, objs).DeepCopy()})
		spoil(&pod.Spec, &c)
		if got := strings.Join(podProblems(pod, c), "\n"); !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func podProblems(pod corev1.PodTemplateSpec, c corev1.Container) (bad []string) {
	must := func(ok bool, problem string) {
		if !ok {
			bad = append(bad, problem)
		}
	}
	p, sc, psc := pod.Spec, c.SecurityContext, pod.Spec.SecurityContext
	yes := func(b *bool) bool { return b != nil && *b }
	no := func(b *bool) bool { return b != nil && !*b }
	must(yes(psc.RunAsNonRoot) && psc.RunAsUser != nil && *psc.RunAsUser > 0 && psc.FSGroup != nil, "may run as root, or cannot write to its disk")
	must(psc.SeccompProfile != nil && psc.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "no seccomp profile")
	must(yes(sc.ReadOnlyRootFilesystem), "the root is not read-only")
	must(no(sc.AllowPrivilegeEscalation) && !yes(sc.Privileged), "privilege can be gained")
	must(sc.Capabilities != nil && slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(sc.Capabilities.Add) == 0, "it keeps a capability")
	must(!p.HostNetwork && !p.HostPID && !p.HostIPC && p.HostUsers == nil, "it shares something of the host")
	for _, v := range p.Volumes {
		must(v.HostPath == nil && (v.ConfigMap != nil || v.Secret != nil || v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil), "volume "+v.Name+" is neither configuration nor bounded")
	}
	for _, port := range c.Ports {
		must(port.HostPort == 0, "it takes a port of the host")
	}
	must(c.Resources.Limits.Memory().Sign() > 0 && c.Resources.Limits.Cpu().Sign() > 0, "no limit")
	must(c.Resources.Requests.Memory().Sign() > 0 && c.Resources.Requests.Cpu().Sign() > 0, "no request")
	must(regexp.MustCompile(`^([^@\s]+(:v\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})|ko://[a-z./]+)$`).MatchString(c.Image), "the image "+c.Image+" is not pinned")
	must(no(p.EnableServiceLinks), "service links put PROFBOT_... into the environment, which profbot takes for keys")
	must(p.ServiceAccountName != "" && p.ServiceAccountName != "default" && yes(p.AutomountServiceAccountToken), "it cannot ask the API server")
	must(p.TerminationGracePeriodSeconds != nil && *p.TerminationGracePeriodSeconds >= 40, "it is killed before it has stopped")
	var limit int64
	for _, e := range c.Env {
		if mib, ok := strings.CutSuffix(e.Value, "MiB"); ok && e.Name == "GOMEMLIMIT" {
			limit, _ = strconv.ParseInt(mib, 10, 64)
		}
	}
	must(limit > 0 && limit<<20 < c.Resources.Limits.Memory().Value(), "GOMEMLIMIT is not below the limit of memory")
	return bad
}

// TestDisk: there is one owner of one disk.
func TestDisk(t *testing.T) {
	each(t, func(t *testing.T, objs objects) {
		set := one[*appsv1.StatefulSet](t, objs)
		if *set.Spec.Replicas != 1 {
			t.Errorf("%d replicas", *set.Spec.Replicas)
		}
		pod, c := container(t, objs)
		sources := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			sources[v.Name] = true
		}
		for _, v := range set.Spec.VolumeClaimTemplates {
			if sources[v.Name] {
				t.Errorf("volume %s has two sources", v.Name)
			}
			sources[v.Name] = true
		}
		mounted := map[string]bool{}
		for _, m := range c.VolumeMounts {
			if !sources[m.Name] {
				t.Errorf("nothing is mounted at %s", m.MountPath)
			}
			mounted[m.Name] = true
		}
		if d := len(sources) - len(mounted); d != 0 {
			t.Errorf("%d volumes are not mounted", d)
		}
	})
}

// TestSelectors: everything that selects pods selects profbot's, ports that
// are named exist, and names that are referred to are there.
func TestSelectors(t *testing.T) {
	each(t, func(t *testing.T, objs objects) {
		set := one[*appsv1.StatefulSet](t, objs)
		pod, c := container(t, objs)
		ports := map[string]int32{}
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		selects := func(who string, s *metav1.LabelSelector) {
			t.Helper()
			sel, err := metav1.LabelSelectorAsSelector(s)
			if err != nil || sel.Empty() || !sel.Matches(labels.Set(pod.Labels)) {
				t.Errorf("%s does not select profbot's pod: %v, %v", who, s, err)
			}
		}
		hasPort := func(who string, p intstr.IntOrString) {
			t.Helper()
			if p.Type != intstr.String || ports[p.StrVal] == 0 {
				t.Errorf("%s: the container has no port %q", who, p.String())
			}
		}
		selects("StatefulSet", set.Spec.Selector)
		services := map[string]*corev1.Service{}
		for _, s := range of[*corev1.Service](objs) {
			services[s.Name] = s
			selects("Service "+s.Name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
			for _, p := range s.Spec.Ports {
				hasPort("Service "+s.Name, p.TargetPort)
			}
		}
		if services[set.Spec.ServiceName] == nil {
			t.Errorf("serviceName %q is no Service", set.Spec.ServiceName)
		}
		for _, p := range of[*policyv1.PodDisruptionBudget](objs) {
			selects("PodDisruptionBudget", p.Spec.Selector)
			if p.Spec.MaxUnavailable == nil || p.Spec.MaxUnavailable.IntValue() != 1 {
				t.Error("the budget blocks every drain")
			}
		}
		for _, m := range of[*ServiceMonitor](objs) {
			sel, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
			found := 0
			for _, s := range services {
				if err == nil && sel.Matches(labels.Set(s.Labels)) && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == m.Spec.Endpoints[0].Port }) {
					found++
				}
			}
			if found != 1 || m.Spec.Endpoints[0].Path != "/metrics" {
				t.Errorf("the service monitor finds %d services", found)
			}
		}
		for _, in := range of[*networkingv1.Ingress](objs) {
			rule := in.Spec.Rules[0]
			var paths []string
			for _, path := range rule.HTTP.Paths {
				paths = append(paths, string(*path.PathType)+" "+path.Path)
				s := services[path.Backend.Service.Name]
				if s == nil || s.Spec.Ports[0].Name != path.Backend.Service.Port.Name || s.Spec.Ports[0].TargetPort.StrVal != "public" {
					t.Errorf("the ingress leads %s not to the public listener", path.Path)
				}
			}
			if len(in.Spec.Rules) != 1 || !slices.Equal(paths, []string{"Exact /webhooks/datadog", "Exact /slack"}) {
				t.Errorf("the ingress publishes %q", paths)
			}
			if len(in.Spec.TLS) != 1 || !slices.Equal(in.Spec.TLS[0].Hosts, []string{rule.Host}) {
				t.Error("the ingress has no TLS for its host")
			}
		}
		for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			hasPort("probe "+p.HTTPGet.Path, p.HTTPGet.Port)
		}
		if class := pod.Spec.PriorityClassName; class != "" {
			if p := one[*schedulingv1.PriorityClass](t, objs); p.Name != class || p.GlobalDefault {
				t.Errorf("there is no class %q, or it is for all", class)
			}
		}
		for _, np := range of[*networkingv1.NetworkPolicy](objs) {
			selects("NetworkPolicy", &np.Spec.PodSelector)
			for _, rule := range np.Spec.Ingress {
				for _, p := range rule.Ports {
					hasPort("NetworkPolicy", *p.Port)
					if p.Port.StrVal == "internal" && len(rule.From) == 0 {
						t.Error("everybody may reach the internal listener")
					}
				}
			}
		}
	})
}

// TestProbesAreServed: the paths that are probed and scraped exist.
func TestProbesAreServed(t *testing.T) {
	app, err := os.ReadFile("../../internal/app/app.go")
	if err != nil {
		t.Fatal(err)
	}
	web, err := os.ReadFile("../../internal/web/web.go")
	if err != nil {
		t.Fatal(err)
	}
	served := func(src []byte, path string) bool {
		return regexp.MustCompile(`"(GET )?` + regexp.QuoteMeta(path) + `"`).Match(src)
	}
	_, c := container(t, overlay(t, "base"))
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		src := map[string][]byte{"public": app, "internal": web}[p.HTTPGet.Port.StrVal]
		if !served(src, p.HTTPGet.Path) {
			t.Errorf("nobody serves %s on %s", p.HTTPGet.Path, p.HTTPGet.Port.StrVal)
		}
	}
	if !served(web, "/metrics") || !served(app, "/webhooks/datadog") || served(app, "/metrics") {
		t.Error("/metrics or /webhooks/datadog is not served where the manifests have it")
	}
}

// TestAgentCheck: the Datadog Agent understands the annotation, and finds the port.
func TestAgentCheck(t *testing.T) {
	each(t, func(t *testing.T, objs objects) {
		pod, c := container(t, objs)
		text := pod.Annotations["ad.datadoghq.com/"+c.Name+".checks"]
		if text == "" {
			if slices.ContainsFunc(slices.Collect(maps.Keys(pod.Annotations)), func(k string) bool { return strings.HasPrefix(k, "ad.datadoghq.com/") }) {
				t.Error("the annotation is for another container")
			}
			return
		}
		var checks map[string]struct {
			Init      map[string]any `json:"init_config"`
			Instances []struct {
				Endpoint  string   `json:"openmetrics_endpoint"`
				Namespace string   `json:"namespace"`
				Prefix    string   `json:"raw_metric_prefix"`
				Metrics   []string `json:"metrics"`
				Exclude   []string `json:"exclude_metrics"`
			} `json:"instances"`
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&checks); err != nil {
			t.Fatal(err)
		}
		i := checks["openmetrics"].Instances[0]
		if i.Endpoint != "http://%%host%%:6061/metrics" || i.Namespace != "profbot" || i.Prefix != "profbot_" || c.Ports[1].ContainerPort != 6061 {
			t.Errorf("instance = %+v", i)
		}
		for _, e := range append(i.Metrics, i.Exclude...) {
			if _, err := regexp.Compile(e); err != nil {
				t.Error(err)
			}
		}
	})
}
