package kube

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	kcache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Limits of what is asked of the API server. A watch ends at the time that it
// asked for itself, some minutes; the slack is for a server that forgets.
const (
	listTimeout  = time.Minute
	firstTimeout = 30 * time.Second // until a watch that is to send everything begins to
	watchSlack   = time.Minute
)

// scope is one namespace that is watched, or all of them, and how that goes.
type scope struct {
	namespace string
	synced    chan struct{} // closed by the first list

	mu     sync.Mutex // protects what is below
	listed bool
	// errs are of the last list and the last watch; none when it was answered.
	// A list does not make up for a watch that fails; a watch, which goes on
	// from the last thing known or begins with everything, does for a list.
	errs  map[string]error
	since time.Time // when the pods were last known to be as they are known; set while there are errs
	begun time.Time // when the request began that waits for its answer; zero for none
}

// watch mirrors the pods of a scope into the cache until ctx ends.
func (f *Finder) watch(ctx context.Context, s *scope) {
	// client-go says every failure again and again; the changes of state are
	// what is worth a line, and those the scope knows.
	quiet := logr.FromSlogHandler(slog.DiscardHandler)
	ctx = klog.NewContext(ctx, quiet)
	retry := f.retry
	r := kcache.NewReflectorWithOptions(
		&lister{f: f, s: s}, &corev1.Pod{}, &shelf{f.pods, s},
		kcache.ReflectorOptions{Name: "pods", Logger: &quiet, Backoff: &retry},
	)
	r.RunWithContext(ctx)
}

// lister asks for the pods of a scope and notes how that went.
type lister struct {
	f *Finder
	s *scope
}

// List and Watch are what the interface wants besides; they are not called.
func (l *lister) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

func (l *lister) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

func (l *lister) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, listTimeout, fmt.Errorf("no complete answer within %s", listTimeout))
	defer cancel()
	l.narrow(&o)
	list := &corev1.PodList{}
	l.s.asking(time.Now())
	err := l.f.client.Get().Namespace(l.s.namespace).Resource("pods").VersionedParams(&o, parameters).Do(ctx).Into(list)
	l.note(outer, ctx, "list", err)
	return list, err
}

func (l *lister) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	limit := watchSlack
	if o.TimeoutSeconds != nil {
		limit += time.Duration(*o.TimeoutSeconds) * time.Second
	}
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the watch did not end within %s", limit))
	begun := func() {}
	if o.SendInitialEvents != nil {
		inner, cut := context.WithCancelCause(ctx)
		first := time.AfterFunc(firstTimeout, func() { cut(fmt.Errorf("no answer within %s", firstTimeout)) })
		ctx, begun = inner, func() { first.Stop() }
	}
	l.narrow(&o)
	o.Watch = true
	l.s.asking(time.Now())
	w, err := l.f.client.Get().Namespace(l.s.namespace).Resource("pods").VersionedParams(&o, parameters).MaxRetries(1).Watch(ctx)
	begun()
	if err == nil || !routine(err, o) {
		l.note(outer, ctx, "watch", err)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &bounded{w, cancel}, nil
}

// routine tells of errors that are part of how things are done: the server is
// too old for a watch that begins with everything, or has forgotten the version
// that the watch was to go on from. A list follows.
func routine(err error, o metav1.ListOptions) bool {
	return o.SendInitialEvents != nil && apierrors.IsInvalid(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}

// narrow leaves out what could never be a target.
func (l *lister) narrow(o *metav1.ListOptions) {
	o.LabelSelector, o.FieldSelector = l.f.opt.Selector, "status.phase=Running"
}

// note remembers how a request ended and logs when that is news.
// outer is the caller's context, ctx the one with the time limit.
func (l *lister) note(outer, ctx context.Context, verb string, err error) {
	if outer.Err() != nil {
		return // stopped
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	log := l.f.opt.Logger.With("namespace", l.s.namespace)
	if err != nil {
		err = inWords(err, access{verb: verb, namespace: l.s.namespace})
	}
	switch changed := l.s.answered(verb, err, time.Now()); {
	case !changed:
	case err != nil:
		log.WarnContext(ctx, "kubernetes does not tell the pods, going on with what is known", "error", err)
	default:
		log.InfoContext(ctx, "kubernetes tells the pods")
	}
}

// bounded is a watch whose context ends with it.
type bounded struct {
	watch.Interface
	cancel context.CancelFunc
}

func (b *bounded) Stop() {
	b.Interface.Stop()
	b.cancel()
}

// asking says that a request begins.
func (s *scope) asking(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = now
}

// answered says how a request ended, and tells whether that is news.
func (s *scope) answered(verb string, err error, now time.Time) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = time.Time{}
	before := s.errLocked()
	switch {
	case err != nil:
		s.errs[verb] = err
	case verb == "watch":
		clear(s.errs)
	default:
		delete(s.errs, verb)
	}
	after := s.errLocked()
	if before == nil || err == nil {
		s.since = now
	}
	return (before == nil) != (after == nil) || after != nil && after.Error() != before.Error()
}

// errLocked is why the pods are not up to date.
// Must be called with mu held.
func (s *scope) errLocked() error { return cmp.Or(s.errs["list"], s.errs["watch"]) }

// filled says that all pods of the scope are known.
func (s *scope) filled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.listed {
		s.listed = true
		close(s.synced)
	}
}

// age tells whether the pods are known, and for how long nothing new was heard
// of them.
func (s *scope) age(now time.Time) (listed bool, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errLocked() != nil {
		age = now.Sub(s.since)
	}
	return s.listed, age
}

// trouble says why the scope is not up to date; nil when it is.
func (s *scope) trouble(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	where := "the pods of the cluster"
	if s.namespace != "" {
		where = fmt.Sprintf("the pods of namespace %q", s.namespace)
	}
	err := s.errLocked()
	switch {
	case s.listed && err == nil:
		return nil
	case s.listed:
		return fmt.Errorf("%s are known as of %s ago: %w", where, now.Sub(s.since).Round(time.Second), err)
	case err != nil:
		return fmt.Errorf("%s are not known: %w", where, err)
	case s.begun.IsZero():
		return fmt.Errorf("%s are not known: the API server was not asked yet", where)
	default:
		return fmt.Errorf("%s are not known yet: the API server was asked %s ago", where, now.Sub(s.begun).Round(time.Second))
	}
}
