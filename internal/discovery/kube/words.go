package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/incident"
)

// access is something asked of the API server, as RBAC calls it.
type access struct {
	verb        string
	subresource string // of pods; "" is the pods themselves
	namespace   string // that a role of its own permits it in; "" for a ClusterRole
}

// access is what a use of one pod is to RBAC. Where all namespaces are watched
// one ClusterRole permits everything.
func (f *Finder) access(verb, subresource, namespace string) access {
	if len(f.opt.Namespaces) == 0 {
		namespace = ""
	}
	return access{verb, subresource, namespace}
}

// rule is the RBAC rule that grants it.
func (a access) rule() string {
	resource := "pods"
	if a.subresource != "" {
		resource += "/" + a.subresource
	}
	return fmt.Sprintf(`{apiGroups: [""], resources: [%s], verbs: [%s]}`, resource, a.verb)
}

// role is what has the rule, or should.
func (a access) role() string {
	if a.namespace == "" {
		return "ClusterRole"
	}
	return fmt.Sprintf("role in namespace %q", a.namespace)
}

// Error says why a pod is not profiled, or why the cluster does not tell its
// pods. It is a failure of a pull in the pipeline's sense.
type Error struct {
	What  incident.Outcome
	Words string
	retry bool
	err   error // what client-go said; nil when there is no such thing
}

func (e *Error) Error() string { return e.Words }
func (e *Error) Unwrap() error { return e.err }

// Outcome names the failure and gives its words.
func (e *Error) Outcome() (incident.Outcome, string) { return e.What, e.Words }

// Retryable tells whether asking again soon may help.
func (e *Error) Retryable() bool { return e.retry }

// inWords says what the API server's refusal means and what to do about it.
func inWords(err error, a access) *Error {
	e := &Error{What: incident.OutcomeUnreachable, err: err}
	status, answered := errors.AsType[*apierrors.StatusError](err)
	switch {
	case apierrors.IsForbidden(err):
		e.What = incident.OutcomeDenied
		e.Words = fmt.Sprintf("profbot's %s lacks the rule %s; the API server says: %s", a.role(), a.rule(), clean(status.ErrStatus.Message))
	case apierrors.IsUnauthorized(err):
		e.What = incident.OutcomeDenied
		e.Words = "the API server does not accept profbot's credentials: check the kubeconfig, or the service account's token"
	case answered:
		s := status.ErrStatus
		e.retry = s.Code >= 500 || s.Code == 429
		e.Words = fmt.Sprintf("the API server answers %d: %s", s.Code, clean(s.Message))
	default:
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address
		}
		e.retry = true
		e.Words = "the API server does not answer: " + clean(err.Error())
	}
	return e
}

// timedOut is the cause of an ended context in place of its bare error.
func timedOut(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// clean makes foreign words fit for one line of a message.
func clean(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return s
}

// statusIn reads a body as the API server's Status.
func statusIn(body []byte) (metav1.Status, bool) {
	var s metav1.Status
	err := json.Unmarshal(body, &s)
	return s, err == nil && s.Kind == "Status" && s.APIVersion == "v1"
}

// ours tells whether a Status comes from the API server that was asked, rather
// than from a pod that is an API server too: what a role lacks, or which pod
// does not exist, is said of pods there.
func ours(s metav1.Status) bool {
	if s.Code == 403 || s.Code == 404 {
		return s.Details != nil && s.Details.Kind == "pods"
	}
	return true
}
