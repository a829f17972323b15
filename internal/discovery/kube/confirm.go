package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/profbot/profbot/internal/incident"
)

// confirmTimeout bounds the question that stands before every pull.
const confirmTimeout = 5 * time.Second

// Confirm asks the API server whether a target is still the pod that was
// discovered: the same namespace and UID, running, not being terminated, and, where its
// address is to be dialled, at that address. Addresses of pods are given to
// others within seconds, so without an answer there is no pull: what the cache
// knows may be as old as the silence. Errors are of type [*Error]. A target
// that is no pod of a cluster, having no UID, passes.
func (f *Finder) Confirm(ctx context.Context, t incident.Target) error {
	if t.UID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, confirmTimeout, fmt.Errorf("no answer within %s", confirmTimeout))
	defer cancel()
	pod := &corev1.Pod{}
	err := f.client.Get().Namespace(t.Namespace).Resource("pods").Name(t.Pod).MaxRetries(1).Do(ctx).Into(pod)
	if apierrors.IsNotFound(err) {
		return &Error{What: incident.OutcomeGone, Words: "the pod does not exist any more"}
	}
	if err != nil {
		e := inWords(timedOut(ctx, err), f.access("get", "", t.Namespace))
		// Whatever the reason: it is not the pod's, which was not asked.
		e.What, e.Words = incident.OutcomeDiscovery, "not asked, since nobody confirms that its address is still its own: "+e.Words
		if errors.Is(context.Cause(ctx), context.Canceled) {
			e.What, e.retry = incident.OutcomeCanceled, false
		}
		return e
	}
	switch {
	case string(pod.UID) != t.UID || pod.Namespace != t.Namespace:
		return &Error{What: incident.OutcomeMoved, Words: "another pod has its name by now"}
	case pod.DeletionTimestamp != nil:
		return &Error{What: incident.OutcomeGone, Words: "the pod is being terminated"}
	case pod.Status.Phase != corev1.PodRunning:
		return &Error{What: incident.OutcomeGone, Words: fmt.Sprintf("the pod is %s and not running", word(string(pod.Status.Phase)))}
	case t.Via == incident.ViaDirect && !hasAddress(pod, t.URL):
		return &Error{What: incident.OutcomeMoved, Words: "the pod has another address by now"}
	}
	return nil
}

func hasAddress(pod *corev1.Pod, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	at, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return false
	}
	for _, ip := range append([]corev1.PodIP{{IP: pod.Status.PodIP}}, pod.Status.PodIPs...) {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a == at {
			return true
		}
	}
	return false
}
