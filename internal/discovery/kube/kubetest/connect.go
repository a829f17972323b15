package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	wire "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// proxy is pods/proxy.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, q request) {
	scheme, rest := "http", q.name
	if after, ok := strings.CutPrefix(rest, "https:"); ok {
		scheme, rest = "https", after
	}
	name, port, _ := strings.Cut(rest, ":")
	pod, err := s.get(q.namespace, name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || s.opt.RefuseLoopback && !ip.IsGlobalUnicast() {
		s.fail(w, r, apierrors.NewBadRequest("address not allowed"))
		return
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.DisableCompression = true
	transport.TLSClientConfig = insecure()
	(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: scheme, Host: net.JoinHostPort(ip.String(), port), Path: "/" + q.rest, RawQuery: r.URL.RawQuery}
			p.SetXForwarded()
		},
		Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.fail(w, r, apierrors.NewServiceUnavailable(fmt.Sprintf("error trying to reach service: %v", err)))
		},
		FlushInterval: -1,
	}).ServeHTTP(w, r)
}

// portforward is pods/portforward by SPDY, and so by POST: a websocket, which
// the real one also has, is nothing that profbot may need.
func (s *Server) portforward(w http.ResponseWriter, r *http.Request, q request) {
	pod, err := s.get(q.namespace, q.name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f := &forwarder{ctx: r.Context(), pod: pod}
	if s.opt.NoSPDY {
		http.Error(w, "this proxy speaks no SPDY", http.StatusBadGateway)
		return
	}
	if r.Method != http.MethodPost || !strings.EqualFold(r.Header.Get("Upgrade"), spdy.HeaderSpdy31) {
		s.fail(w, r, apierrors.NewBadRequest("Upgrade request required"))
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{wire.PortForwardV1Name}); err != nil {
		return // it has answered
	}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, f.stream)
	if conn != nil {
		s.until(conn)
	}
}

// until waits for the end of a connection.
func (s *Server) until(conn httpstream.Connection) {
	defer func() { _ = conn.Close() }()
	s.mu.Lock()
	s.forwards++
	s.mu.Unlock()
	<-conn.CloseChan()
	s.mu.Lock()
	s.forwards--
	s.mu.Unlock()
}

// forwarder is the node's part: it joins the two streams of a request and
// connects to the port.
type forwarder struct {
	ctx context.Context // of the request, which lasts as long as its streams
	pod *corev1.Pod

	mu       sync.Mutex // protects complain
	complain httpstream.Stream
}

func (f *forwarder) stream(stream httpstream.Stream, replySent <-chan struct{}) error {
	h := stream.Headers()
	port, err := strconv.ParseUint(h.Get(corev1.PortHeader), 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("%q is no port", h.Get(corev1.PortHeader))
	}
	switch h.Get(corev1.StreamType) {
	case corev1.StreamTypeError:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.complain = stream
		return nil
	case corev1.StreamTypeData:
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.complain == nil {
			return errors.New("a data stream without its error stream")
		}
		complain := f.complain
		go func() { // ends with either side
			<-replySent
			defer func() { _ = complain.Close() }()
			defer func() { _ = stream.Reset() }()
			// The localhost of a pod is its address here.
			conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(f.ctx, "tcp", net.JoinHostPort(f.pod.Status.PodIP, strconv.Itoa(int(port))))
			if err != nil {
				fmt.Fprintf(complain, "error forwarding port %d to pod %s: failed to connect to localhost:%d inside namespace: %v", port, f.pod.UID, port, err)
				return
			}
			defer func() { _ = conn.Close() }()
			go func() {
				_, _ = io.Copy(conn, stream) // either side may go at any time
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(stream, conn)
			_ = stream.Close()
		}()
		return nil
	}
	return fmt.Errorf("%q is no type of a stream", h.Get(corev1.StreamType))
}
