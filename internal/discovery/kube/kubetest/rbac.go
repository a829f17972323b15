package kubetest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// insecure is how the API server talks https to pods: it looks at no
// certificate.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } //nolint:gosec // as the real one

// Rules are those of all Roles and ClusterRoles in manifests, of which there
// have to be some.
func Rules(t testing.TB, files ...string) []rbacv1.PolicyRule {
	t.Helper()
	var rules []rbacv1.PolicyRule
	for _, file := range files {
		roles, _ := permissions(t, file)
		for _, r := range roles {
			rules = append(rules, r.Rules...)
		}
	}
	if len(rules) == 0 {
		t.Fatalf("%q have no rules", files)
	}
	return rules
}

// AllRules are those of all manifests in a folder and below. Whatever is bound
// there has to be a role of the folder's own.
func AllRules(t testing.TB, dir string) []rbacv1.PolicyRule {
	t.Helper()
	var rules []rbacv1.PolicyRule
	names := map[string]bool{}
	var bound []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		roles, bindings := permissions(t, path)
		for _, r := range roles {
			rules, names[r.Name] = append(rules, r.Rules...), true
		}
		bound = append(bound, bindings...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range bound {
		if !names[name] {
			t.Errorf("%s binds the role %q, which is not its own", dir, name)
		}
	}
	return rules
}

// permissions reads the roles of a manifest, and the names of those that it
// binds. What the file has and the types do not know is an error.
func permissions(t testing.TB, file string) (roles []rbacv1.ClusterRole, bound []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return roles, bound
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var head struct{ Kind string }
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch head.Kind {
		case "Role", "ClusterRole":
			var r rbacv1.ClusterRole
			if err := yaml.UnmarshalStrict(doc, &r); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			roles = append(roles, r)
		case "RoleBinding", "ClusterRoleBinding":
			var b rbacv1.ClusterRoleBinding
			if err := yaml.UnmarshalStrict(doc, &b); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			bound = append(bound, b.RoleRef.Name)
		}
	}
}

// review says what the client may do.
func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	var review authorizationv1.SelfSubjectAccessReview
	d := json.NewDecoder(io.LimitReader(r.Body, 64<<10))
	d.DisallowUnknownFields()
	err := d.Decode(&review)
	a := review.Spec.ResourceAttributes
	if err != nil || a == nil || review.Kind != "SelfSubjectAccessReview" || review.APIVersion != "authorization.k8s.io/v1" {
		s.fail(w, r, apierrors.NewBadRequest("this is no SelfSubjectAccessReview"))
		return
	}
	q := request{verb: a.Verb, namespace: a.Namespace, name: a.Name, subresource: a.Subresource}
	review.Status.Allowed = a.Resource == "pods" && a.Group == "" && s.allowed(q, Use{q.verb, q.resource()})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

// Grants are all uses that rules allow, by verb and resource, which has its
// API group before it where it is not the core's.
func Grants(rules []rbacv1.PolicyRule) []Use {
	set := map[Use]int{}
	for _, r := range rules {
		for _, verb := range r.Verbs {
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					set[Use{verb, strings.TrimPrefix(group+"/"+resource, "/")}]++
				}
			}
			for _, path := range r.NonResourceURLs {
				set[Use{verb, path}]++
			}
		}
	}
	return sorted(set)
}
