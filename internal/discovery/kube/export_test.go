package kube

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/profbot/profbot/internal/incident"
)

// RetryFast makes a finder that is not started yet ask again within moments.
func (f *Finder) RetryFast() {
	f.retry = wait.Backoff{Duration: 5 * time.Millisecond, Factor: 1, Steps: 1}
}

// Known lists the keys of all pods that the cache has.
func (f *Finder) Known() []string {
	var keys []string
	for _, r := range f.pods.of("") {
		keys = append(keys, r.key())
	}
	return keys
}

// Reading is a reading for tests.
type Reading struct {
	Service, Env, Version, Found, Scheme, Path string
	Port                                       int
	Refuses                                    []incident.Kind
	Remarks                                    []string
}

// Read reads a pod.
func Read(p *corev1.Pod, everyone bool, port int, serviceTag string) Reading {
	r := read(p, rules{everyone: everyone, port: port, serviceTag: serviceTag})
	if r.found == "" {
		r.scheme, r.port, r.path = "", 0, ""
	}
	if r.found != "" && r.scheme == "" {
		r.scheme = "http" // without settings
	}
	return Reading{r.service, r.env, r.version, r.found, r.scheme, r.path, r.port, r.refuses, r.remarks}
}

// PlainPath is plainPath.
var PlainPath = plainPath
