package collector

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// privateNetworks are where pods live: the private networks (RFC 1918), that
// of carriers which some clouds give to pods (RFC 6598), unique local
// addresses (RFC 4193), and this machine.
var privateNetworks = prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128",
)

// Everywhere is every network, for [Options.Networks] where a person names the
// address. What is always refused stays refused.
func Everywhere() []netip.Prefix { return prefixes("0.0.0.0/0", "::/0") }

// never are networks that no pod is in, whatever an operator allows: those
// that hand out a machine's credentials, and those that stand for others.
var never = []struct {
	networks []netip.Prefix
	what     string
}{
	// Each is within a network that may be allowed, so that it comes first.
	{prefixes(
		"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", // most clouds; ECS; EKS
		"fd00:ec2::/32",                    // AWS
		"fd20:ce::254/128",                 // Google
		"168.63.129.16/32",                 // Azure
		"100.100.100.200/32",               // Alibaba
		"192.0.0.192/32",                   // Oracle
		"169.254.42.42/32", "fd00:42::/32", // Scaleway
	), "a cloud's metadata address"},
	{prefixes("169.254.0.0/16", "fe80::/10"), "a link-local address"},
	{prefixes("0.0.0.0/8", "::/128"), "an unspecified address"},
	{prefixes("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"), "a multicast or broadcast address"},
	// NAT64, 6to4, Teredo and translated addresses: the packet goes to an IPv4
	// address that is not the one that was looked at.
	{prefixes("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0:0/96"), "an IPv4 address in disguise"},
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// guard decides which addresses may be dialled. It is read-only.
type guard struct{ allowed []netip.Prefix }

// refusal says that an address was not dialled.
type refusal struct{ words string }

func (r *refusal) Error() string { return r.words }

// control is for [net.Dialer.ControlContext]: it sees the address that is
// about to be dialled, after names are resolved, so that a name that resolves
// to something else a moment later gains nothing.
func (g *guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusal{fmt.Sprintf("address %q cannot be read", address)}
	}
	if words := g.refuses(ap.Addr()); words != "" {
		return &refusal{words}
	}
	return nil
}

// refuses says in plain words why an address may not be dialled; "" when it may.
func (g *guard) refuses(a netip.Addr) string {
	a = a.WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	for _, n := range never {
		if slices.ContainsFunc(n.networks, in) {
			return fmt.Sprintf("address %s is %s, which is never dialled", a, n.what)
		}
	}
	if a.Is4In6() { // no prefix contains one: they are neither IPv4 nor IPv6 to netip
		return fmt.Sprintf("address %s is an IPv4 address in disguise, which is never dialled", a)
	}
	if slices.ContainsFunc(g.allowed, in) {
		return ""
	}
	return fmt.Sprintf("address %s is in none of the networks that pods may be in (%s): see capture.networks", a, list(g.allowed))
}

// list names the first few networks.
func list(networks []netip.Prefix) string {
	const most = 7
	if len(networks) == 0 {
		return "none"
	}
	var names []string
	for i, n := range networks {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(networks)-most))
			break
		}
		names = append(names, n.String())
	}
	return strings.Join(names, ", ")
}
