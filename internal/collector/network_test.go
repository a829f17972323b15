package collector

import (
	"net/netip"
	"strings"
	"testing"
)

// TestGuard: what may be dialled by default, and what never.
func TestGuard(t *testing.T) {
	byDefault, everywhere := &guard{privateNetworks}, &guard{Everywhere()}
	for _, tc := range []struct {
		why   string // in the refusal of both; "" when it is dialled
		outer bool   // dialled only when every network is allowed
		addrs string
	}{
		{"", false, "10.1.2.3 172.16.0.1 172.31.255.254 192.168.1.1 100.64.0.1 100.127.0.1 127.0.0.1 127.8.8.8 ::1 fd12:3456::1 fc00::1"},
		{"", true, "8.8.8.8 172.32.0.1 172.15.0.1 100.128.0.1 11.0.0.1 192.169.0.1 2606:4700::1111 203.0.113.7 168.63.129.17 192.0.0.8"},
		{"a cloud's metadata address", false, "169.254.169.254 169.254.170.2 169.254.170.23 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 168.63.129.16 100.100.100.200 192.0.0.192 169.254.42.42 fd00:42::42"},
		{"a link-local address", false, "169.254.0.1 169.254.1.1 fe80::1 fe80::a9fe:a9fe febf::1 fe80::1%eth0"},
		{"an unspecified address", false, "0.0.0.0 0.1.2.3 ::"},
		{"a multicast or broadcast address", false, "224.0.0.1 239.255.255.250 255.255.255.255 ff02::1 ff0e::1"},
		{"an IPv4 address in disguise", false, "64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 2002:a9fe:a9fe::1 2001::1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:10.0.0.1 ::10.0.0.1"},
	} {
		for a := range strings.FieldsSeq(tc.addrs) {
			addr := netip.MustParseAddr(a)
			got, all := byDefault.refuses(addr), everywhere.refuses(addr)
			switch {
			case tc.why != "":
				if want := " is " + tc.why + ", which is never dialled"; !strings.HasSuffix(got, want) || !strings.HasSuffix(all, want) {
					t.Errorf("%s: %q, %q", a, got, all)
				}
			case all != "":
				t.Errorf("%s: %q where every network is allowed", a, all)
			case tc.outer != strings.Contains(got, "see capture.networks"), !tc.outer && got != "":
				t.Errorf("%s: %q", a, got)
			}
		}
	}
	if got := list(append(Everywhere(), privateNetworks...)); got != "0.0.0.0/0, ::/0, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 127.0.0.0/8, 2 more" {
		t.Errorf("networks are listed as %q", got)
	}
	if err := byDefault.control(t.Context(), "unix", "/run/pprof.sock", nil); err == nil {
		t.Error("a socket in the file system is dialled")
	}
}
