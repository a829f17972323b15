// Package kubetest is a small API server of Kubernetes for tests: pods and
// their proxy and portforward subresources, over TLS, HTTP/2 and either of the
// two encodings, for as long as the RBAC rules allow it.
//
// What it does it does as the real one: list in chunks, watches that resume at
// a resource version or are told that it is gone, bookmarks, selectors,
// streaming lists, Status bodies. What only happens in bad moments happens when
// the test says so: see the methods of [Server].
package kubetest

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// Token is profbot's credential.
const Token = "kubetest-token-7f3a"

// Options are set before the server starts.
type Options struct {
	// Rules are what Token may do; nil means everything.
	Rules []rbacv1.PolicyRule
	// Namespaced are the namespaces that the rules are bound in; empty means
	// the cluster.
	Namespaced []string
	// OldServer has neither streaming lists nor a watch cache: lists come in
	// chunks.
	OldServer bool
	// NoSPDY stands for something between that lets no SPDY pass.
	NoSPDY bool
	// RefuseLoopback refuses to proxy to loopback addresses, as the real one
	// does. Tests have no other addresses for their pods.
	RefuseLoopback bool
	JSON           bool   // no protobuf
	Address        string // host:port to listen at; "" means any
}

// Server is the API server. Its methods are safe for concurrent use.
type Server struct {
	t    testing.TB // nil outside a test
	opt  Options
	http *httptest.Server

	codecs serializer.CodecFactory

	mu       sync.Mutex // protects what is below
	rv       int64      // the last resource version given out
	oldest   int64      // watches from before it are gone
	pods     map[string]*corev1.Pod
	history  []event
	changed  chan struct{} // closed and replaced whenever history grows
	cut      chan struct{} // closed and replaced to end all watches
	uses     map[Use]int
	refused  map[Use]int
	requests []string
	before   func(w http.ResponseWriter, r *http.Request) (handled bool)
	watches  int // that are open
	begun    int // watches ever
	forwards int // port-forward connections that are open
}

// Use is something asked of the server, in RBAC's words.
type Use struct{ Verb, Resource string }

// event is one change of the store, or a bookmark.
type event struct {
	rv       int64
	old, pod *corev1.Pod // nil when there was none before, or is none after; both for a bookmark
}

// New starts a server that ends with the test.
func New(t testing.TB, opt Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(s.Close)
	return s
}

// Start starts a server outside a test, where [Server.WriteKubeconfig] takes
// the place of [Server.Kubeconfig]; Close ends it.
func Start(ctx context.Context, opt Options) (*Server, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Pod{}, &corev1.PodList{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	s := &Server{
		opt: opt, codecs: serializer.NewCodecFactory(scheme),
		rv: 100, oldest: 100, pods: map[string]*corev1.Pod{},
		changed: make(chan struct{}), cut: make(chan struct{}),
		uses: map[Use]int{}, refused: map[Use]int{},
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	if opt.Address != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opt.Address)
		if err != nil {
			return nil, fmt.Errorf("start an API server: %w", err)
		}
		s.http.Listener.Close()
		s.http.Listener = l
	}
	s.http.EnableHTTP2 = true
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that go away
	s.http.StartTLS()
	return s, nil
}

// Close ends the server with all its connections.
func (s *Server) Close() {
	s.CutWatches()
	s.http.CloseClientConnections()
	s.http.Close()
}

// Address is where the server listens.
func (s *Server) Address() string { return s.http.Listener.Addr().String() }

// Kubeconfig writes a file with the server's address and Token.
func (s *Server) Kubeconfig() string { return s.KubeconfigAt(s.Address()) }

// KubeconfigAt writes a file that names another address: all servers of this
// package have the same certificate.
func (s *Server) KubeconfigAt(address string) string {
	s.t.Helper()
	file, err := s.writeKubeconfig(s.t.TempDir(), address)
	if err != nil {
		s.t.Fatal(err)
	}
	return file
}

// WriteKubeconfig writes the file of [Server.Kubeconfig] into a folder.
func (s *Server) WriteKubeconfig(dir string) (string, error) {
	return s.writeKubeconfig(dir, s.Address())
}

func (s *Server) writeKubeconfig(dir, address string) (string, error) {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.TLS.Certificates[0].Certificate[0]})
	caFile, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
contexts:
- name: test
  context: {cluster: test, user: profbot}
- name: other
  context: {cluster: test, user: nobody}
clusters:
- name: test
  cluster: {server: "https://%s", certificate-authority: %q}
users:
- name: profbot
  user: {token: %s}
- name: nobody
  user: {token: wrong}
`, address, caFile, Token)
	for name, data := range map[string][]byte{caFile: ca, file: []byte(text)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return "", fmt.Errorf("write a kubeconfig: %w", err)
		}
	}
	return file, nil
}

// Put creates a pod, or changes the one of its name, and gives back what is
// stored: with a UID, a resource version and the phase Running where it had
// none.
func (s *Server) Put(pod *corev1.Pod) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := pod.DeepCopy()
	s.rv++
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	key := p.Namespace + "/" + p.Name
	old := s.pods[key]
	if p.UID == "" {
		if old != nil {
			p.UID = old.UID
		} else {
			p.UID = uid(s.rv)
		}
	}
	if p.Status.Phase == "" {
		p.Status.Phase = corev1.PodRunning
	}
	p.ResourceVersion = fmt.Sprint(s.rv)
	s.pods[key] = p
	s.appendLocked(event{s.rv, old, p})
	return p.DeepCopy()
}

// Delete removes a pod.
func (s *Server) Delete(namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rv++
	key := namespace + "/" + name
	old := s.pods[key]
	delete(s.pods, key)
	s.appendLocked(event{s.rv, old, nil})
}

// Bookmark sends watches that want bookmarks a new resource version, as the
// real server does each minute.
func (s *Server) Bookmark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rv++
	s.appendLocked(event{rv: s.rv})
}

// Must be called with mu held.
func (s *Server) appendLocked(e event) {
	s.history = append(s.history, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Compact forgets the history: who resumes from before now is told 410.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = s.rv
}

// CutWatches ends all watches, as balancers and restarting servers do.
func (s *Server) CutWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Break breaks all connections.
func (s *Server) Break() { s.http.CloseClientConnections() }

// Before sets what looks at every request first, and may answer it; nil for
// nothing.
func (s *Server) Before(f func(w http.ResponseWriter, r *http.Request) (handled bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Uses lists what was asked and allowed, once each.
func (s *Server) Uses() []Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sorted(s.uses)
}

// Refused lists what was asked and not allowed.
func (s *Server) Refused() []Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sorted(s.refused)
}

// Count is how often something was asked and allowed.
func (s *Server) Count(verb, resource string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uses[Use{verb, resource}]
}

// Requests are the methods and addresses of all requests, in order.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Watches is how many watches are open, and how many ever were.
func (s *Server) Watches() (open, begun int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watches, s.begun
}

// Forwards is how many port-forward connections are open.
func (s *Server) Forwards() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forwards
}

func sorted(m map[Use]int) []Use {
	var out []Use
	for u := range m {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b Use) int {
		return cmpStrings(a.Resource+" "+a.Verb, b.Resource+" "+b.Verb)
	})
	return out
}
