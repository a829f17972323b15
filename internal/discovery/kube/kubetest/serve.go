package kubetest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var pods = schema.GroupResource{Resource: "pods"}

func uid(n int64) types.UID { return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)) }

func cmpStrings(a, b string) int { return strings.Compare(a, b) }

// request is a request as the API server understands it.
type request struct {
	verb, namespace, name, subresource, rest string
}

func (q request) resource() string {
	if q.subresource != "" {
		return "pods/" + q.subresource
	}
	return "pods"
}

// understand reads method and path; false for what this server does not have.
func understand(r *http.Request) (q request, ok bool) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if !ok {
		return q, false
	}
	if in, ok := strings.CutPrefix(path, "namespaces/"); ok {
		q.namespace, path, _ = strings.Cut(in, "/")
	}
	resource, path, _ := strings.Cut(path, "/")
	q.name, path, _ = strings.Cut(path, "/")
	q.subresource, q.rest, _ = strings.Cut(path, "/")
	switch r.Method {
	case http.MethodGet:
		q.verb = "get"
		if q.name == "" {
			q.verb = "list"
		}
		if w := r.URL.Query().Get("watch"); w == "true" || w == "1" {
			q.verb = "watch"
		}
	case http.MethodPost:
		q.verb = "create"
	case http.MethodDelete:
		q.verb = "delete"
	default:
		q.verb = strings.ToLower(r.Method)
	}
	return q, resource == "pods"
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.String())
	before := s.before
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+Token {
		s.fail(w, r, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	// The real server does the same: who is known needs no header any more,
	// and nobody behind it gets to see it.
	r.Header.Del("Authorization")
	if r.Method == http.MethodPost && r.URL.Path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
		s.review(w, r)
		return
	}
	q, ok := understand(r)
	if !ok {
		s.fail(w, r, apierrors.NewNotFound(schema.GroupResource{}, ""))
		return
	}
	use := Use{q.verb, q.resource()}
	allowed := s.allowed(q, use)
	s.mu.Lock()
	if allowed {
		s.uses[use]++
	} else {
		s.refused[use]++
	}
	s.mu.Unlock()
	if !allowed {
		scope := " at the cluster scope"
		if q.namespace != "" {
			scope = fmt.Sprintf(" in the namespace %q", q.namespace)
		}
		s.fail(w, r, apierrors.NewForbidden(pods, q.name, fmt.Errorf(`%s "system:serviceaccount:profbot:profbot" cannot %s resource %q in API group ""%s`, "User", q.verb, use.Resource, scope)))
		return
	}
	switch {
	case q.subresource == "proxy":
		s.proxy(w, r, q)
	case q.subresource == "portforward":
		s.portforward(w, r, q)
	case q.subresource != "":
		s.fail(w, r, apierrors.NewNotFound(pods, q.name))
	case q.verb == "get":
		p, err := s.get(q.namespace, q.name)
		s.reply(w, r, p, err)
	case q.verb == "list":
		s.list(w, r, q)
	case q.verb == "watch":
		s.watch(w, r, q)
	default:
		s.fail(w, r, apierrors.NewMethodNotSupported(pods, q.verb))
	}
}

func (s *Server) allowed(q request, u Use) bool {
	if s.opt.Rules == nil {
		return true
	}
	if len(s.opt.Namespaced) > 0 && !slices.Contains(s.opt.Namespaced, q.namespace) {
		return false
	}
	has := func(list []string, v string) bool { return slices.Contains(list, v) || slices.Contains(list, "*") }
	return slices.ContainsFunc(s.opt.Rules, func(r rbacv1.PolicyRule) bool {
		return has(r.APIGroups, "") && has(r.Resources, u.Resource) && has(r.Verbs, u.Verb) && (len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.name))
	})
}

func (s *Server) get(namespace, name string) (*corev1.Pod, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[namespace+"/"+name]; p != nil {
		return shallow(p), nil
	}
	return nil, apierrors.NewNotFound(pods, name)
}

// shallow is a copy of a stored pod, which never changes, for encoding, which
// notes the kind in what it encodes.
func shallow(p *corev1.Pod) *corev1.Pod {
	c := *p
	return &c
}

// selects tells which pods a request is about.
func selects(r *http.Request, q request) (func(*corev1.Pod) bool, error) {
	byLabel, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return func(p *corev1.Pod) bool {
		return p != nil && (q.namespace == "" || q.namespace == p.Namespace) && byLabel.Matches(labels.Set(p.Labels)) &&
			byField.Matches(fields.Set{"status.phase": string(p.Status.Phase), "metadata.name": p.Name, "metadata.namespace": p.Namespace, "spec.nodeName": p.Spec.NodeName})
	}, nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, q request) {
	match, err := selects(r, q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	if query.Get("resourceVersion") == "0" && !s.opt.OldServer {
		limit = 0 // the watch cache does not care
	}
	from, at := 0, int64(0)
	if c := query.Get("continue"); c != "" {
		if _, err := fmt.Sscanf(c, "%d-%d", &at, &from); err != nil {
			s.fail(w, r, apierrors.NewBadRequest("continue token"))
			return
		}
	}
	s.mu.Lock()
	list := &corev1.PodList{}
	list.ResourceVersion = fmt.Sprint(s.rv)
	gone := at > 0 && at < s.oldest
	keys := make([]string, 0, len(s.pods))
	for key, p := range s.pods {
		if match(p) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for i, key := range keys {
		if i < from {
			continue
		}
		if limit > 0 && len(list.Items) == limit {
			list.Continue = fmt.Sprintf("%d-%d", s.rv, i)
			break
		}
		list.Items = append(list.Items, *s.pods[key])
	}
	s.mu.Unlock()
	if gone {
		s.fail(w, r, apierrors.NewResourceExpired("The provided continue parameter is too old"))
		return
	}
	s.reply(w, r, list, nil)
}

// reply encodes an answer as the client wants it.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, obj runtime.Object, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.encode(w, r, http.StatusOK, obj)
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := err.(apierrors.APIStatus).Status()
	status.APIVersion, status.Kind = "v1", "Status"
	if r.Header.Get("Upgrade") != "" {
		r.Header.Del("Accept")
	}
	s.encode(w, r, int(status.Code), &status)
}

func (s *Server) encode(w http.ResponseWriter, r *http.Request, code int, obj runtime.Object) {
	info := s.mediaType(r)
	w.Header().Set("Content-Type", info.MediaType)
	data, err := runtime.Encode(s.codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), obj)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(code)
	w.Write(data)
}

// mediaType is the encoding that the client likes best of those there are.
func (s *Server) mediaType(r *http.Request) runtime.SerializerInfo {
	for accept := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(accept), ";")
		if s.opt.JSON && name != runtime.ContentTypeJSON {
			continue
		}
		if info, ok := runtime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), name); ok {
			return info
		}
	}
	info, _ := runtime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	return info
}

// expired is what a watch is told that resumes from before the history.
func expired(rv, oldest int64) *metav1.Status {
	status := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", rv, oldest)).Status()
	status.APIVersion, status.Kind = "v1", "Status"
	return &status
}
