package check

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// place is somewhere that profbot may dial: an address, and when it is a pod
// the labels of it and of its namespace.
type place struct {
	address        string
	pod, namespace labels.Set // nil for what is no pod
	udp            bool
}

var (
	aPod    = place{address: "10.1.2.3", pod: labels.Set{"app": "live-api"}, namespace: labels.Set{"kubernetes.io/metadata.name": "live"}}
	dnsPod  = place{address: "10.1.2.4", pod: labels.Set{"k8s-app": "kube-dns"}, namespace: labels.Set{"kubernetes.io/metadata.name": "kube-system"}}
	dnsNode = place{address: "169.254.20.10", udp: true}
)

// egress tells whether the policy lets profbot dial a port of a place, as
// Kubernetes documents it: one rule with one peer and one port is enough.
func egress(t testing.TB, np *networkingv1.NetworkPolicy, to place, port int32) bool {
	t.Helper()
	protocol := corev1.ProtocolTCP
	if to.udp {
		protocol = corev1.ProtocolUDP
	}
	for _, rule := range np.Spec.Egress {
		if len(rule.Ports) == 0 || len(rule.To) == 0 {
			t.Error("a rule lets everything out")
		}
		open := false
		for _, p := range rule.Ports {
			last := p.Port.IntVal
			if p.EndPort != nil {
				last = *p.EndPort
			}
			open = open || *p.Protocol == protocol && p.Port.IntVal <= port && port <= last
		}
		for _, peer := range rule.To {
			if open && peers(t, peer, to) {
				return true
			}
		}
	}
	return false
}

func peers(t testing.TB, peer networkingv1.NetworkPolicyPeer, to place) bool {
	t.Helper()
	if b := peer.IPBlock; b != nil {
		at := netip.MustParseAddr(to.address)
		for _, except := range b.Except {
			if netip.MustParsePrefix(except).Contains(at) {
				return false
			}
		}
		return netip.MustParsePrefix(b.CIDR).Contains(at)
	}
	matches := func(s *metav1.LabelSelector, set labels.Set) bool {
		if s == nil {
			return true
		}
		sel, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		return sel.Matches(set)
	}
	if peer.NamespaceSelector == nil {
		t.Error("a rule that leads into profbot's own namespace alone")
	}
	return to.pod != nil && matches(peer.NamespaceSelector, to.namespace) && matches(peer.PodSelector, to.pod)
}

// TestEgress: profbot reaches what it works with, and nothing that hands out
// the machine's credentials.
func TestEgress(t *testing.T) {
	seen := 0
	for name, objs := range renderings(t) {
		for _, np := range of[*networkingv1.NetworkPolicy](objs) {
			seen++
			if types := np.Spec.PolicyTypes; len(types) != 2 || types[0] != "Ingress" || types[1] != "Egress" {
				t.Errorf("%s: policy types %v", name, types)
			}
			byAddress := load(t, objs).Kubernetes.Reach == "pod-ip"
			onePort := strings.Contains(name, "prod") || name == "chart with one port"
			for _, tc := range []struct {
				to   place
				port int32
				want bool
			}{
				{place{address: "3.64.12.1"}, 443, true}, // Slack, Datadog
				{place{address: "2600:1f18::1"}, 443, true},
				{place{address: "3.64.12.1"}, 80, false},
				{place{address: "3.64.12.1"}, 22, false},
				{place{address: "10.96.0.1"}, 443, true}, // the API server as a Service, and behind it
				{place{address: "172.18.0.2"}, 6443, true},
				{place{address: "172.18.0.2"}, 10250, false}, // kubelet
				{dnsPod, 53, true},
				{place{address: dnsPod.address, pod: dnsPod.pod, namespace: dnsPod.namespace, udp: true}, 53, true},
				{dnsNode, 53, true},
				{place{address: dnsNode.address}, 443, false},
				{aPod, 53, false},
				{aPod, 80, false},
				{aPod, 6060, byAddress},
				{aPod, 8081, byAddress && !onePort},
				{place{address: "10.9.9.9"}, 6060, false}, // a machine
			} {
				if got := egress(t, np, tc.to, tc.port); got != tc.want {
					t.Errorf("%s: %+v port %d: reached %t, want %t", name, tc.to, tc.port, got, tc.want)
				}
			}
			// The clouds' metadata services, on every port that is open to somebody.
			for _, address := range []string{
				"169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42", "100.100.100.200", "168.63.129.16", "192.0.0.192",
				"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fe80::1",
			} {
				for _, port := range []int32{53, 80, 443, 6060, 6443} {
					if egress(t, np, place{address: address}, port) {
						t.Errorf("%s: %s port %d is reached", name, address, port)
					}
				}
			}
		}
	}
	if seen < 12 {
		t.Errorf("only %d policies were seen", seen)
	}
}
