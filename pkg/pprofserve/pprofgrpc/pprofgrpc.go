// Package pprofgrpc labels goroutines with the gRPC method that they serve, so
// that CPU profiles say which endpoint costs what. See package pprofserve.
//
//	grpc.NewServer(
//		grpc.ChainUnaryInterceptor(pprofgrpc.Unary),
//		grpc.ChainStreamInterceptor(pprofgrpc.Stream),
//	)
//
// The label is the full method, "/feed.Feed/Spin". Decoding of a unary
// request happens before any interceptor, and so without the label.
package pprofgrpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// Unary labels the calls of unary methods. It is a [grpc.UnaryServerInterceptor].
func Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	pprofserve.Do(ctx, "", info.FullMethod, func(ctx context.Context) { resp, err = handler(ctx, req) })
	return resp, err
}

// Stream labels the calls of streaming methods, for the length of the stream.
// It is a [grpc.StreamServerInterceptor]. Methods of which the server knows
// nothing (see [grpc.UnknownServiceHandler]) have no label: their names are
// the client's.
func Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	method := info.FullMethod
	if srv == nil {
		method = ""
	}
	pprofserve.Do(stream.Context(), "", method, func(ctx context.Context) {
		err = handler(srv, labelled{stream, ctx})
	})
	return err
}

// labelled is a stream whose context has the label.
type labelled struct {
	grpc.ServerStream
	ctx context.Context
}

func (s labelled) Context() context.Context { return s.ctx }
