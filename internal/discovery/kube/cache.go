package kube

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kcache "k8s.io/client-go/tools/cache"
)

// record is all that is kept of a pod. It never changes: a changed pod gets
// another.
type record struct {
	metav1.ObjectMeta // name, namespace, UID and version; client-go tells objects by it
	reading

	ip     string
	node   string
	ready  bool
	ending bool // it is being terminated
}

// cache has the records of all scopes, by service.
type cache struct {
	rules rules

	mu       sync.RWMutex // protects what is below
	pods     map[string]*record
	services map[string]map[string]*record // the same records by service, then as in pods
}

func newCache(r rules) *cache {
	return &cache{rules: r, pods: map[string]*record{}, services: map[string]map[string]*record{}}
}

// slim turns a pod into its record. It is what client-go calls a transformer:
// of 5,000 pods in full it would hold a hundred megabytes, of their records a
// few.
func (c *cache) slim(obj any) (any, error) {
	switch o := obj.(type) {
	case *record:
		return o, nil
	case *corev1.Pod:
		return newRecord(o, c.rules), nil
	}
	return nil, fmt.Errorf("the API server sent a %T in place of a pod", obj)
}

func newRecord(p *corev1.Pod, rules rules) *record {
	r := &record{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, UID: p.UID, ResourceVersion: p.ResourceVersion},
		reading:    read(p, rules),
		ip:         p.Status.PodIP, node: p.Spec.NodeName,
		ending: p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning,
	}
	for _, c := range p.Status.Conditions {
		r.ready = r.ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}
	return r
}

func (r *record) key() string { return r.Namespace + "/" + r.Name }

// putLocked takes a record in, in place of what had its name.
// Must be called with mu held.
func (c *cache) putLocked(r *record) {
	c.dropLocked(r.key())
	c.pods[r.key()] = r
	if c.services[r.service] == nil {
		c.services[r.service] = map[string]*record{}
	}
	c.services[r.service][r.key()] = r
}

// Must be called with mu held.
func (c *cache) dropLocked(key string) {
	old := c.pods[key]
	if old == nil {
		return
	}
	delete(c.pods, key)
	delete(c.services[old.service], key)
	if len(c.services[old.service]) == 0 {
		delete(c.services, old.service)
	}
}

// of lists the records of a service, or with "" all.
func (c *cache) of(service string) []*record {
	c.mu.RLock()
	defer c.mu.RUnlock()
	from := c.services[service]
	if service == "" {
		from = c.pods
	}
	var out []*record
	for _, r := range from {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *record) int { return strings.Compare(a.key(), b.key()) })
	return out
}

// shelf is the part of the cache that one scope fills: what client-go's
// reflector puts things into.
type shelf struct {
	cache *cache
	scope *scope
}

// Transformer makes the reflector slim pods as they arrive.
func (s *shelf) Transformer() kcache.TransformFunc { return s.cache.slim }

func (s *shelf) Add(obj any) error { return s.Update(obj) }

func (s *shelf) Update(obj any) error {
	o, err := s.cache.slim(obj)
	if err != nil {
		return err
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.putLocked(o.(*record))
	return nil
}

func (s *shelf) Delete(obj any) error {
	key, err := kcache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return err
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.dropLocked(key)
	return nil
}

// Replace makes the list all there is in the scope.
func (s *shelf) Replace(list []any, _ string) error {
	records := make([]*record, 0, len(list))
	for _, obj := range list {
		o, err := s.cache.slim(obj)
		if err != nil {
			return err
		}
		records = append(records, o.(*record))
	}
	s.cache.mu.Lock()
	for key, r := range s.cache.pods {
		if s.scope.namespace == "" || s.scope.namespace == r.Namespace {
			s.cache.dropLocked(key)
		}
	}
	for _, r := range records {
		s.cache.putLocked(r)
	}
	s.cache.mu.Unlock()
	s.scope.filled()
	return nil
}

// Resync has nothing to do: there are no consumers to tell again.
func (s *shelf) Resync() error { return nil }
