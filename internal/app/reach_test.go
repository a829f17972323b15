package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

const (
	baseRules      = "base/rbac.yaml"
	proxyRules     = "components/proxy/rbac.yaml"
	forwardRules   = "components/port-forward/rbac.yaml"
	namespaceRules = "overlays/namespaced/namespaces/live.yaml"
)

// TestReach: an alert comes in and the verdict is told, whichever way the pods
// are reached and whatever they ask for, with no permission beside those of
// deploy. The incidents run together, since they mostly wait.
func TestReach(t *testing.T) {
	t.Parallel()
	mutual, files := mutualTLS(t)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ops:s3cr3t: of the pods"))
	var looks []func()
	for name, tc := range map[string]struct {
		reach    string
		rules    []string
		old      bool        // an API server without streaming lists
		settings string      // of the service
		want     string      // Authorization that the pods ask for
		secure   *tls.Config // what they speak
	}{
		"pod-ip":       {reach: "pod-ip", rules: []string{baseRules}},
		"proxy":        {reach: "proxy", rules: []string{baseRules, proxyRules}},
		"port-forward": {reach: "port-forward", rules: []string{baseRules, forwardRules}},

		"pod-ip of one namespace, an old server, a bearer": {
			reach: "pod-ip", rules: []string{namespaceRules}, old: true,
			settings: ", authorization: Bearer s3cr3t-of-pods", want: "Bearer s3cr3t-of-pods",
		},
		"port-forward, basic": {
			reach: "port-forward", rules: []string{baseRules, forwardRules},
			settings: `, user: ops, password: "s3cr3t: of the pods"`, want: basic,
		},
		"pod-ip, mutual TLS": {reach: "pod-ip", rules: []string{baseRules}, settings: files, secure: mutual},
	} {
		opt := kubetest.Options{OldServer: tc.old}
		for _, file := range tc.rules {
			opt.Rules = append(opt.Rules, kubetest.Rules(t, filepath.Join("../../deploy/kubernetes", file))...)
		}
		more := []string{"PROFBOT_KUBERNETES_REACH=" + tc.reach}
		if tc.rules[0] == namespaceRules {
			opt.Namespaced = []string{"live"}
			more = append(more, "PROFBOT_KUBERNETES_NAMESPACES=live")
		}
		c := newCluster(t, opt)
		pods := []*pproftest.Server{c.add("pod-0", 1, tc.secure), c.add("pod-1", 2, tc.secure)}
		for _, p := range pods {
			p.Require(tc.want)
		}
		a := c.start(c.env("[{name: live-api, namespace: live"+tc.settings+"}]", more...)...)
		c.fire(a)
		looks = append(looks, func() {
			t.Run(name, func(t *testing.T) {
				text, p := c.told(t, a)
				for _, got := range p.Captures {
					if got.Status != incident.CaptureStored {
						t.Errorf("%s of %s: %s, %s", got.Kind, got.Pod, got.Outcome, got.Detail)
					}
				}
				// Mutex and block profiles are the hot pod's alone.
				if cool, hot := pods[0].Requests(), pods[1].Requests(); len(cool) != 4 || len(hot) != 6 {
					t.Errorf("pod-0 was asked for %q, and pod-1 for %q", cool, hot)
				}
				if bad := c.api.Refused(); len(bad) > 0 {
					t.Errorf("deploy lacks %v", bad)
				}
				if strings.Contains(text+c.log.String(), "s3cr3t") || strings.Contains(text+c.log.String(), kubetest.Token) {
					t.Errorf("a secret was told:\n%s\n%s", text, c.log.String())
				}
				until(t, "no way is open", func() bool { return c.api.Forwards() == 0 })
				stop(t, a)
			})
		})
	}
	for _, look := range looks {
		look()
	}
}

// mutualTLS is for pods that ask for a certificate, with the settings of who
// has one.
func mutualTLS(t *testing.T) (*tls.Config, string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, key)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known},
		fmt.Sprintf(", tls: {ca: %q, cert: %q, key: %q, server_name: live-api.live.svc}", cert, cert, key)
}

// TestNames: pods that are known by name servers are profiled as those that are
// listed, beside which they stand; a name server that fails when the alert
// comes in is asked again.
func TestNames(t *testing.T) {
	t.Parallel()
	var looks []func()
	for name, dns := range map[string]string{"A": "a.test.", "SRV": "_pprof._tcp.srv.test.", "a failing server": "broken.test."} {
		c := newCluster(t, kubetest.Options{})
		c.add("pod-0", 1, nil)
		hot := c.add("pod-1", 2, nil)
		port, err := strconv.ParseUint(c.port, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		if host, ok := strings.CutPrefix(dns, "_pprof._tcp."); ok {
			for i, pod := range []string{"pod-0.", "pod-1."} {
				names.host(pod+host, c.ip(i+1))
				names.service(dns, pod+host, uint16(port))
			}
		} else {
			names.host(dns, c.ip(2))
			dns = net.JoinHostPort(dns, c.port)
		}
		a := c.make(fmt.Sprintf(`PROFBOT_SERVICES=[{name: live-api, dns: %q}, {name: billing, targets: [{pod: pod-0, url: %q}]}]`, dns, c.pods[0].PprofURL()))
		if name == "a failing server" {
			names.fail("broken.test.")
			asked := make(chan struct{}, 100)
			a.pipeline.Finder = failures{a.pipeline.Finder, func() { asked <- struct{}{} }}
			go func() { // ends with the second question: of the alert's way in, and of the choice of pods
				<-asked
				<-asked
				names.fail("")
			}()
		}
		a.Start(t.Context())
		c.fire(a)
		looks = append(looks, func() {
			t.Run(name, func(t *testing.T) {
				_, p := c.told(t, a)
				if len(hot.Requests()) != 6 || len(c.pods[0].Requests()) > 0 {
					t.Errorf("pod-1 was asked for %q, and billing's for %q", hot.Requests(), c.pods[0].Requests())
				}
				if want := c.ip(2); name != "SRV" && p.Captures[0].Pod != want || name == "SRV" && p.Captures[0].Pod != "pod-1" {
					t.Errorf("profiled %q", p.Captures[0].Pod)
				}
				stop(t, a)
			})
		})
	}
	for _, look := range looks {
		look()
	}
}
