package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/profbot/profbot/internal/incident"
)

// reviewTimeout bounds all questions of Permissions.
const reviewTimeout = 10 * time.Second

// uses are what profbot needs of the API server.
func (f *Finder) uses() []access {
	out := []access{{verb: "list"}, {verb: "watch"}, {verb: "get"}}
	switch f.opt.Reach {
	case incident.ViaProxy:
		out = append(out, access{verb: "get", subresource: "proxy"})
	case incident.ViaPortForward:
		out = append(out, access{verb: "create", subresource: "portforward"})
	}
	return out
}

// Permissions asks the API server whether profbot may do what it needs with
// these options. It is nil when all is granted; otherwise it names each rule
// that is missing, or says why that cannot be known. Everybody with credentials
// may ask this about himself (the ClusterRole system:basic-user).
func (f *Finder) Permissions(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reviewTimeout, fmt.Errorf("no answer within %s", reviewTimeout))
	defer cancel()
	var missing []error
	for _, s := range f.scopes {
		for _, a := range f.uses() {
			a.namespace = s.namespace
			allowed, err := f.review(ctx, a)
			if err != nil {
				return fmt.Errorf("permissions in the cluster: %w", inWords(timedOut(ctx, err), access{verb: "create"}))
			}
			if !allowed {
				missing = append(missing, fmt.Errorf("profbot's %s lacks the rule %s", a.role(), a.rule()))
			}
		}
	}
	return errors.Join(missing...)
}

// attributes are the part of a SelfSubjectAccessReview that matters here. Its
// Go types would bring another API group into the binary.
type attributes struct {
	Namespace   string `json:"namespace,omitempty"`
	Verb        string `json:"verb"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
}

func (f *Finder) review(ctx context.Context, a access) (allowed bool, err error) {
	var ask struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       struct {
			ResourceAttributes attributes `json:"resourceAttributes"`
		} `json:"spec"`
	}
	ask.APIVersion, ask.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
	ask.Spec.ResourceAttributes = attributes{a.namespace, a.verb, "pods", a.subresource}
	body, err := json.Marshal(ask)
	if err != nil {
		return false, err
	}
	to := f.client.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").URL()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := f.through.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return false, err
	}
	if status, ok := statusIn(data); ok && resp.StatusCode >= 400 {
		status.Code = int32(resp.StatusCode)
		return false, &apierrors.StatusError{ErrStatus: status}
	}
	var answer struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	if err := json.Unmarshal(data, &answer); err != nil || resp.StatusCode >= 300 {
		return false, fmt.Errorf("it gives HTTP %d in place of a review", resp.StatusCode)
	}
	return answer.Status.Allowed, nil
}
