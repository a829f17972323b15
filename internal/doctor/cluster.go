package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/discovery/kube"
)

// maxRemarks bounds what is told of pods whose annotations cannot be meant.
const maxRemarks = 10

// cluster looks at what the API server lets profbot do, and at what pods say
// of themselves. It is false when the pods are not known afterwards.
func (w *walk) cluster(ctx context.Context) bool {
	const area = "Kubernetes"
	err := w.fleet.Kube.Permissions(ctx)
	missing := lacking(err)
	for _, m := range missing {
		w.tell(Result{Area: area, State: Bad, What: m.resource, Note: m.words(), Next: m.next()})
	}
	switch {
	case err == nil:
		w.tell(Result{Area: area, What: "permissions", Note: "all that discovery and the way to the pods need"})
	case len(missing) == 0: // nobody could be asked, and would say more to a list
		w.result(area, "API server", "", err, w.mendCluster(err))
		return false
	}
	if slices.ContainsFunc(missing, missingRule.listing) {
		w.tell(Result{Area: area, State: Skipped, What: "pods", Note: "cannot be looked at without these permissions"})
		return false
	}
	if err := w.fleet.Start(ctx); err != nil {
		w.result(area, "pods", "", err, w.mendCluster(err))
		return false
	}
	pods := 0
	for _, n := range w.fleet.Kube.Counts() {
		pods += n
	}
	r := Result{Area: area, What: "pods", Note: count(pods, "pod") + " may be profiled"}
	if pods == 0 {
		r.State, r.Next = Warning, w.optIn()
	}
	w.tell(r)
	w.remarks()
	return true
}

// remarks tells of pods whose annotations cannot be meant.
func (w *walk) remarks() {
	remarks := w.fleet.Kube.Remarks(w.Service)
	for i, r := range remarks {
		if i == maxRemarks {
			w.tell(Result{
				Area: "Kubernetes", State: Warning, What: "annotations", Note: fmt.Sprintf("%d more like these", len(remarks)-maxRemarks),
				Next: "mend these first; those of one service: profbot doctor --service NAME",
			})
			break
		}
		w.tell(Result{Area: "Kubernetes", State: Warning, What: fmt.Sprintf("pod %s/%s", r.Namespace, r.Pod), Note: r.Words, Next: mendRemark(r)})
	}
}

// mendRemark is the next step about what a pod says of itself.
func mendRemark(r kube.Remark) string {
	where := fmt.Sprintf("in the template of what owns the pod (spec.template.metadata); see it with: kubectl -n %s get pod %s -o jsonpath='{.metadata.labels}{.metadata.annotations}'", r.Namespace, r.Pod)
	key := ""
	if words := strings.Fields(r.Words); len(words) > 1 && words[0] == "annotation" {
		key = words[1]
	}
	switch {
	case strings.Contains(r.Words, "neither true nor false"):
		return fmt.Sprintf(`set the annotation %s to "true" or "false" %s`, key, where)
	case strings.Contains(r.Words, "neither http nor https"):
		return fmt.Sprintf(`set the annotation %s to "http" or "https" %s`, key, where)
	case strings.HasSuffix(key, "port"), strings.HasSuffix(key, "port_name"):
		return fmt.Sprintf(`set the annotation %s to the number of pprof's port, such as "6060", %s`, key, where)
	case strings.HasPrefix(r.Words, "nothing names its service"):
		return fmt.Sprintf("set the label tags.datadoghq.com/service to the service that the alerts name %s", where)
	case key != "":
		return fmt.Sprintf("correct the annotation %s %s", key, where)
	}
	return "correct it " + where
}

// missingRule is what a role lacks of one resource.
type missingRule struct {
	role, namespace string // the namespace is "" for a ClusterRole
	resource        string // "pods/proxy"
	verbs           []string
}

var ruleWords = regexp.MustCompile(`profbot's (ClusterRole|role in namespace "([^"]*)") lacks the rule \{apiGroups: \[""\], resources: \[([a-z/]+)\], verbs: \[([a-z]+)\]\}`)

// lacking reads the rules that [kube.Finder.Permissions] misses, those of one
// resource as one.
func lacking(err error) []missingRule {
	if err == nil {
		return nil
	}
	var out []missingRule
	for _, m := range ruleWords.FindAllStringSubmatch(err.Error(), -1) {
		i := slices.IndexFunc(out, func(r missingRule) bool { return r.role == m[1] && r.resource == m[3] })
		if i < 0 {
			i, out = len(out), append(out, missingRule{role: m[1], namespace: m[2], resource: m[3]})
		}
		out[i].verbs = append(out[i].verbs, m[4])
	}
	return out
}

// listing tells whether the pods cannot be known without it.
func (m missingRule) listing() bool {
	return m.resource == "pods" && (slices.Contains(m.verbs, "list") || slices.Contains(m.verbs, "watch"))
}

func (m missingRule) words() string {
	return fmt.Sprintf(`profbot's %s lacks the rule {apiGroups: [""], resources: [%s], verbs: [%s]}`, m.role, m.resource, strings.Join(m.verbs, ", "))
}

// next names the file that has the rule, and the chart's value.
func (m missingRule) next() string {
	if m.namespace != "" {
		return fmt.Sprintf("copy deploy/kubernetes/overlays/namespaced/namespaces/live.yaml, write namespace: %s and the rule into it, and kubectl apply -f it; with Helm add it to discovery.namespaces",
			m.namespace)
	}
	switch m.resource {
	case "pods/proxy":
		return "kubectl apply -f deploy/kubernetes/components/proxy/rbac.yaml; with Helm set discovery.reach=proxy"
	case "pods/portforward":
		return "kubectl apply -f deploy/kubernetes/components/port-forward/rbac.yaml; with Helm set discovery.reach=port-forward"
	}
	return "kubectl apply -f deploy/kubernetes/base/rbac.yaml; with Helm set rbac.create=true; to allow single namespaces only, take deploy/kubernetes/overlays/namespaced and set kubernetes.namespaces"
}

// kubectl is the command as profbot sees the cluster.
func (w *walk) kubectl(rest string) string {
	k := w.Config.Kubernetes
	args := []string{"kubectl"}
	if k.Kubeconfig != "" {
		args = append(args, "--kubeconfig", k.Kubeconfig)
	}
	if k.Context != "" {
		args = append(args, "--context", k.Context)
	}
	return strings.Join(append(args, rest), " ")
}

// mendCluster is the next step where there are no credentials, or where the
// API server does not take them or does not answer.
func (w *walk) mendCluster(err error) string {
	k, text := w.Config.Kubernetes, err.Error()
	switch {
	case strings.Contains(text, "does not run in a pod"):
		return "set kubernetes.kubeconfig to a file such as ~/.kube/config, or kubernetes.enabled to false"
	case errors.Is(err, fs.ErrNotExist), strings.Contains(text, "no such file"):
		return fmt.Sprintf("write the file: kubectl config view --raw --minify > %s, or correct kubernetes.kubeconfig", cmp.Or(k.Kubeconfig, "FILE"))
	case strings.Contains(text, "context") && strings.Contains(text, "does not exist"):
		return fmt.Sprintf("put one of these into kubernetes.context: kubectl --kubeconfig %s config get-contexts -o name", k.Kubeconfig)
	case strings.Contains(text, "does not accept profbot's credentials") && k.Kubeconfig == "":
		return "keep automountServiceAccountToken true and serviceAccountName profbot, as deploy/kubernetes/base/statefulset.yaml has them, and restart the pod"
	case strings.Contains(text, "does not accept profbot's credentials"):
		return fmt.Sprintf("renew the credentials of the kubeconfig until this works: %s", w.kubectl("get pods -A"))
	case strings.Contains(text, "does not answer") && k.Kubeconfig == "":
		return "let profbot out to the API server, as deploy/kubernetes/base/networkpolicy.yaml does: kubectl get endpointslices kubernetes -n default has its address and port"
	case strings.Contains(text, "does not answer"):
		return fmt.Sprintf("correct the server's address in the kubeconfig, or the way to it, until this works: %s", w.kubectl("cluster-info"))
	}
	return fmt.Sprintf("see what is wrong with: %s", w.kubectl("get pods -A"))
}

// optIn is how pods become known.
func (w *walk) optIn() string {
	const list = "list one below services in the configuration"
	switch k := w.Config.Kubernetes; {
	case !k.Enabled:
		return list + ", with its targets or its dns name; or set kubernetes.enabled to true, and annotate the pods"
	case !k.OptIn:
		return "give the pods the label tags.datadoghq.com/service, or correct kubernetes.namespaces and kubernetes.selector"
	}
	return `opt one in: kubectl -n NAMESPACE patch deployment NAME -p '{"spec":{"template":{"metadata":{"annotations":{"profbot.io/scrape":"true","profbot.io/port":"6060"}}}}}'; or ` + list
}
