package pprofgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/pprof"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
	"github.com/profbot/profbot/pkg/pprofserve/pprofgrpc"
)

const service = "/grpc.testing.TestService/"

// api answers with the label that it finds.
type api struct {
	testpb.UnimplementedTestServiceServer
	t *testing.T
}

func (a *api) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if in.FillUsername {
		panic("on purpose")
	}
	return &testpb.SimpleResponse{Username: labeltest.Seen(ctx, a.t)}, nil
}

func (a *api) StreamingOutputCall(_ *testpb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	for range 3 {
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: []byte(labeltest.Seen(s.Context(), a.t))}}); err != nil {
			return err
		}
	}
	return nil
}

func (a *api) FullDuplexCall(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: []byte(labeltest.Seen(s.Context(), a.t))}}); err != nil {
			return err
		}
	}
}

// serve starts a server whose goroutines serve one call after the other, so
// that a label left behind would be seen, and returns a connection to it.
func serve(t *testing.T) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(
		grpc.NumStreamWorkers(2),
		grpc.ChainUnaryInterceptor(recovers, pprofgrpc.Unary),
		grpc.ChainStreamInterceptor(pprofgrpc.Stream),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			return status.Error(codes.Unimplemented, labeltest.Seen(s.Context(), t))
		}),
	)
	testpb.RegisterTestServiceServer(s, &api{t: t})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }() // ended by Stop
	c, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func recovers(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (_ any, err error) {
	defer func() {
		if recover() != nil {
			err = status.Error(codes.Internal, "panic")
		}
	}()
	return h(ctx, req)
}

func TestUnary(t *testing.T) {
	client := testpb.NewTestServiceClient(serve(t))
	for range 5 {
		out, err := client.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if err != nil || out.Username != service+"UnaryCall" {
			t.Errorf("%q, %v", out.GetUsername(), err)
		}
		if _, err := client.UnaryCall(t.Context(), &testpb.SimpleRequest{FillUsername: true}); status.Code(err) != codes.Internal {
			t.Errorf("a panic: %v", err)
		}
		labeltest.Gone(t)
	}
	if _, err := client.EmptyCall(t.Context(), &testpb.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("not implemented: %v", err)
	}
}

func TestStream(t *testing.T) {
	client := testpb.NewTestServiceClient(serve(t))
	out, err := client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if m, err := out.Recv(); err != nil || string(m.Payload.Body) != service+"StreamingOutputCall" {
			t.Errorf("%q, %v", m.GetPayload().GetBody(), err)
		}
	}
	if _, err := out.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	labeltest.Gone(t)

	both, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := both.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if m, err := both.Recv(); err != nil || string(m.Payload.Body) != service+"FullDuplexCall" {
			t.Errorf("%q, %v", m.GetPayload().GetBody(), err)
		}
	}
	if err := both.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := both.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	labeltest.Gone(t)
}

// TestUnknown: methods that clients make up get no label.
func TestUnknown(t *testing.T) {
	err := serve(t).Invoke(t.Context(), "/made.Up/Name", &testpb.Empty{}, &testpb.Empty{})
	if s := status.Convert(err); s.Code() != codes.Unimplemented || s.Message() != labeltest.None {
		t.Errorf("%v", err)
	}
}

func ExampleUnary() {
	s := grpc.NewServer(
		grpc.ChainUnaryInterceptor(pprofgrpc.Unary),
		grpc.ChainStreamInterceptor(pprofgrpc.Stream),
	)
	defer s.Stop()
	// What the server does with each call:
	info := &grpc.UnaryServerInfo{FullMethod: "/feed.Feed/Spin"}
	_, _ = pprofgrpc.Unary(context.Background(), nil, info, func(ctx context.Context, _ any) (any, error) {
		endpoint, _ := pprof.Label(ctx, "endpoint")
		fmt.Println(endpoint)
		return nil, nil
	})
	// Output: /feed.Feed/Spin
}
