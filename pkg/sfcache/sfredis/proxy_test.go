package sfredis_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

// proxy stands between a client and a server, and cuts connections.
type proxy struct {
	addr string
	mu   sync.Mutex // protects the fields below
	// room is how many more bytes of answers all connections may carry before
	// the one that is at it is cut; negative is no limit.
	room  int
	again func() int // room after a cut

	cuts, accepted atomic.Int64
	open           sync.Map // of net.Conn, the clients'
}

// unlimited lets everything through.
func unlimited() int { return -1 }

func startProxy(t *testing.T, s *redistest.Server) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), room: -1, again: unlimited}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed, at the end of the test
			}
			out, err := net.Dial("tcp", s.Addr)
			if err != nil {
				in.Close()
				continue
			}
			p.open.Store(in, nil)
			p.accepted.Add(1)
			running.Go(func() {
				defer out.Close()
				io.Copy(out, in)
			})
			running.Go(func() {
				defer p.open.Delete(in)
				defer in.Close()
				p.copy(in, out)
			})
		}
	})
	t.Cleanup(func() { // after the client has been closed
		l.Close()
		p.closeAll()
		running.Wait()
	})
	return p
}

// closeAll closes all connections.
func (p *proxy) closeAll() {
	p.open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
}

// cut lets room bytes of answers through and cuts; again says how many then.
func (p *proxy) cut(room int, again func() int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room, p.again = room, again
}

func (p *proxy) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 1024)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		last := p.room >= 0 && n > p.room
		if last {
			n, p.room = p.room, p.again()
			p.cuts.Add(1)
		} else if p.room >= 0 {
			p.room -= n
		}
		p.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil || last {
			return
		}
	}
}
