// Package backend holds the stores that the service reads, in a process of
// their own so that its profile does not show them: Redis and memcached as far
// as two clients ask, an HTTP and a gRPC upstream.
package backend

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// Addrs is where the stores listen.
type Addrs struct{ Redis, Memcached, HTTP, GRPC string }

// Run serves for as long as the process lives. redis is what Redis answers to
// every GET.
func Run(redis []byte) (Addrs, error) {
	feed, err := json.Marshal(svc.NewFeed(25))
	if err != nil {
		return Addrs{}, err
	}
	var a Addrs
	for _, s := range []struct {
		addr  *string
		serve func(net.Listener) error
	}{
		{&a.Redis, each(func(r *bufio.Reader, w *bufio.Writer) error { return resp(r, w, redis) })},
		{&a.Memcached, each(func(r *bufio.Reader, w *bufio.Writer) error { return memcached(r, w, feed) })},
		{&a.HTTP, func(l net.Listener) error {
			return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(feed)))
				_, _ = w.Write(feed)
			}))
		}},
		{&a.GRPC, func(l net.Listener) error {
			s := grpc.NewServer()
			grpc_testing.RegisterTestServiceServer(s, &rpc{feed: feed})
			return s.Serve(l)
		}},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return a, err
		}
		*s.addr = l.Addr().String()
		go func() { _ = s.serve(l) }() // ends with the process
	}
	return a, nil
}

type rpc struct {
	grpc_testing.UnimplementedTestServiceServer
	feed []byte
}

func (s *rpc) UnaryCall(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{Payload: &grpc_testing.Payload{Body: s.feed}}, nil
}

// each serves every connection by asking once per command.
func each(command func(*bufio.Reader, *bufio.Writer) error) func(net.Listener) error {
	return func(l net.Listener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() { // ends when the client closes
				defer c.Close()
				r, w := bufio.NewReader(c), bufio.NewWriter(c)
				for command(r, w) == nil && w.Flush() == nil {
				}
			}()
		}
	}
}

// resp answers one command of Redis's protocol.
func resp(r *bufio.Reader, w *bufio.Writer, value []byte) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil {
		return err
	}
	var args []string
	for range n {
		head, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
		if err != nil {
			return err
		}
		arg := make([]byte, size+2)
		if _, err := io.ReadFull(r, arg); err != nil {
			return err
		}
		args = append(args, string(arg[:size]))
	}
	switch strings.ToUpper(args[0]) {
	case "GET":
		fmt.Fprintf(w, "$%d\r\n%s\r\n", len(value), value)
	case "HELLO":
		fmt.Fprint(w, "-ERR unknown command\r\n")
	default:
		fmt.Fprint(w, "+OK\r\n")
	}
	return nil
}

// memcached answers one command of memcached's text protocol.
func memcached(r *bufio.Reader, w *bufio.Writer, value []byte) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	f := strings.Fields(line)
	if len(f) < 2 || !strings.HasPrefix(f[0], "get") {
		return fmt.Errorf("no command: %q", line)
	}
	fmt.Fprintf(w, "VALUE %s 0 %d 1\r\n%s\r\nEND\r\n", f[1], len(value), value)
	return nil
}
