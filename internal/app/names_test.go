package app

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is the name server of these tests: a profbot asks the system's.
var names = &zone{hosts: map[string]string{}, srv: map[string][]dnsmessage.SRVResource{}}

func TestMain(m *testing.M) {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go names.serve(server) // ends when the resolver closes its side
		return client, nil
	}}
	os.Exit(m.Run())
}

// zone answers as DNS does over TCP.
type zone struct {
	mu     sync.Mutex // protects what is below
	hosts  map[string]string
	srv    map[string][]dnsmessage.SRVResource
	failed string // a name that cannot be resolved for the moment
}

// host gives a name its address.
func (z *zone) host(name, ip string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hosts[name] = ip
}

// service adds a host to the SRV records of a name.
func (z *zone) service(name, host string, port uint16) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.srv[name] = append(z.srv[name], dnsmessage.SRVResource{Port: port, Target: dnsmessage.MustNewName(host)})
}

// fail makes the lookups of one name fail; "" mends it.
func (z *zone) fail(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.failed = name
}

func (z *zone) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		msg := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		reply, err := z.answer(msg)
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(reply) >> 8), byte(len(reply))}, reply...)); err != nil {
			return
		}
	}
}

func (z *zone) answer(msg []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	z.mu.Lock()
	defer z.mu.Unlock()
	ip, records := z.hosts[q.Name.String()], z.srv[q.Name.String()]
	switch {
	case z.failed == q.Name.String():
		m.RCode = dnsmessage.RCodeServerFailure
	case ip == "" && records == nil:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA && ip != "":
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()}})
	case q.Type == dnsmessage.TypeSRV:
		for _, r := range records {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &r})
		}
	}
	return m.Pack()
}
