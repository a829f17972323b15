package check

import (
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// grant is one permission: where ("" is the whole cluster), what, and how.
type grant struct{ namespace, resource, verb string }

// grants are all permissions that a rendering gives to profbot, through
// bindings that lead to roles which exist. Roles that nobody is bound to, and
// bindings of others, are faults.
func grants(t testing.TB, objs objects) []grant {
	t.Helper()
	var out []grant
	bound := map[string]bool{}
	bind := func(namespace string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		t.Helper()
		pod, _ := container(t, objs)
		if len(subjects) != 1 || subjects[0].Kind != "ServiceAccount" || subjects[0].Name != pod.Spec.ServiceAccountName ||
			subjects[0].Namespace != one[*appsv1.StatefulSet](t, objs).Namespace {
			t.Errorf("%s is granted to %v", ref.Name, subjects)
		}
		where := namespace
		if ref.Kind == "ClusterRole" {
			where = ""
		}
		name := ref.Kind + " " + where + "/" + ref.Name
		bound[name] = true
		var rules []rbacv1.PolicyRule
		switch role := objs[name].(type) {
		case *rbacv1.ClusterRole:
			rules = role.Rules
		case *rbacv1.Role:
			rules = role.Rules
		default:
			t.Errorf("%s is bound and does not exist", name)
		}
		for _, r := range rules {
			if !slices.Equal(r.APIGroups, []string{""}) || len(r.NonResourceURLs)+len(r.ResourceNames) != 0 {
				t.Errorf("%s grants more than pods: %v", name, r)
			}
			for _, res := range r.Resources {
				for _, verb := range r.Verbs {
					out = append(out, grant{namespace, res, verb})
				}
			}
		}
	}
	for _, b := range of[*rbacv1.ClusterRoleBinding](objs) {
		bind("", b.RoleRef, b.Subjects)
	}
	for _, b := range of[*rbacv1.RoleBinding](objs) {
		bind(b.Namespace, b.RoleRef, b.Subjects)
	}
	for name, o := range objs {
		if kind := o.GetObjectKind().GroupVersionKind().Kind; (kind == "Role" || kind == "ClusterRole") && !bound[name] {
			t.Errorf("%s is granted to nobody", name)
		}
	}
	slices.SortFunc(out, func(a, b grant) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.resource, b.resource), cmp.Compare(a.verb, b.verb))
	})
	return out
}

// TestPermissions: exactly what discovery and the way to the pods need.
func TestPermissions(t *testing.T) {
	pods := func(namespace string) []grant {
		return []grant{{namespace, "pods", "get"}, {namespace, "pods", "list"}, {namespace, "pods", "watch"}}
	}
	// What these need is held to what profbot asks of the API server by
	// TestPermissions of internal/discovery/kube.
	component := func(name, namespace string) (out []grant) {
		for _, g := range grants(t, overlay(t, "base", name)) {
			if g.resource != "pods" {
				out = append(out, grant{namespace, g.resource, g.verb})
			}
		}
		if len(out) == 0 {
			t.Errorf("component %s grants nothing", name)
		}
		return out
	}
	want := map[string][]grant{
		"overlays/namespaced":         pods("live"),
		"base with proxy":             slices.Concat(pods(""), component("proxy", "")),
		"base with port-forward":      slices.Concat(pods(""), component("port-forward", "")),
		"minimal with all that fits":  slices.Concat(pods(""), component("port-forward", "")),
		"chart with namespaces":       slices.Concat(pods("chat"), pods("live")),
		"chart with proxy":            slices.Concat(pods(""), component("proxy", "")),
		"chart with port-forward":     slices.Concat(pods(""), component("port-forward", "")),
		"chart with everything":       slices.Concat(pods("live"), component("port-forward", "live")),
		"chart with no rights of its": nil,
	}
	for name, objs := range renderings(t) {
		w, special := want[name]
		if !special {
			w = pods("")
		}
		if d := gocmp.Diff(w, grants(t, objs), gocmp.AllowUnexported(grant{})); d != "" {
			t.Errorf("%s (-want +granted):\n%s", name, d)
		}
	}
}

// TestReach: the configuration, the permission and the policy speak of the
// same way to the pods.
func TestReach(t *testing.T) {
	each(t, func(t *testing.T, objs objects) {
		cfg := load(t, objs)
		granted := map[string]bool{}
		if len(of[*rbacv1.ClusterRole](objs))+len(of[*rbacv1.Role](objs)) == 0 {
			return // somebody else gives the rights
		}
		namespaces := map[string]bool{}
		for _, g := range grants(t, objs) {
			granted[g.resource] = true
			if g.namespace != "" {
				namespaces[g.namespace] = true
			}
		}
		if got, want := granted["pods/proxy"], cfg.Kubernetes.Reach == "proxy"; got != want {
			t.Errorf("reach is %q, pods/proxy granted: %t", cfg.Kubernetes.Reach, got)
		}
		if got, want := granted["pods/portforward"], cfg.Kubernetes.Reach == "port-forward"; got != want {
			t.Errorf("reach is %q, pods/portforward granted: %t", cfg.Kubernetes.Reach, got)
		}
		for _, ns := range cfg.Kubernetes.Namespaces {
			if !namespaces[ns] {
				t.Errorf("namespace %q is looked in without permission", ns)
			}
		}
		if len(namespaces) != len(cfg.Kubernetes.Namespaces) {
			t.Errorf("granted in %v, looked in %v", namespaces, cfg.Kubernetes.Namespaces)
		}
		for _, np := range of[*networkingv1.NetworkPolicy](objs) {
			if got, want := egress(t, np, aPod, 6060), cfg.Kubernetes.Reach == "pod-ip"; got != want {
				t.Errorf("reach is %q, the policy lets it to the pods: %t", cfg.Kubernetes.Reach, got)
			}
		}
	})
}
