package main

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// service is what protoc-gen-go-grpc would make of
//
//	service Echo {
//	  rpc Say(StringValue) returns (StringValue);
//	  rpc Talk(stream StringValue) returns (stream StringValue);
//	  rpc Ticks(Int64Value) returns (stream Int64Value);
//	}
var service = grpc.ServiceDesc{
	ServiceName: "holdfast.example.Echo",
	HandlerType: (*echoServer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Say",
		Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			line := new(wrapperspb.StringValue)
			if err := decode(line); err != nil {
				return nil, err
			}
			return srv.(echoServer).Say(ctx, line)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Talk", ServerStreams: true, ClientStreams: true,
		Handler: func(srv any, s grpc.ServerStream) error {
			return srv.(echoServer).Talk(&talkStream{ServerStream: s})
		},
	}, {
		StreamName: "Ticks", ServerStreams: true,
		Handler: func(srv any, s grpc.ServerStream) error {
			from := new(wrapperspb.Int64Value)
			if err := s.RecvMsg(from); err != nil {
				return err
			}
			return srv.(echoServer).Ticks(from, &tickStream{ServerStream: s})
		},
	}},
}

type (
	talkStream = grpc.GenericServerStream[wrapperspb.StringValue, wrapperspb.StringValue]
	tickStream = grpc.GenericServerStream[wrapperspb.Int64Value, wrapperspb.Int64Value]
)

type echoServer interface {
	Say(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
	Talk(grpc.BidiStreamingServer[wrapperspb.StringValue, wrapperspb.StringValue]) error
	Ticks(*wrapperspb.Int64Value, grpc.ServerStreamingServer[wrapperspb.Int64Value]) error
}

// An echo implements the service.
type echo struct {
	draining chan struct{} // closed when this generation is on its way out
}

var _ echoServer = (*echo)(nil)

// tick is the pace of Ticks.
const tick = 10 * time.Millisecond

// Say answers with what it is sent.
func (e *echo) Say(_ context.Context, line *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return line, nil
}

// Talk answers each message with the same, until the client has no more. A drain
// waits for that.
func (e *echo) Talk(s grpc.BidiStreamingServer[wrapperspb.StringValue, wrapperspb.StringValue]) error {
	for {
		line, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(line); err != nil {
			return err
		}
	}
}

// Ticks counts upward from a number, for as long as the client listens or this
// generation serves. When it ends with OK the client calls again, from the number
// that would have come next.
func (e *echo) Ticks(from *wrapperspb.Int64Value, s grpc.ServerStreamingServer[wrapperspb.Int64Value]) error {
	if from.Value < 0 {
		return status.Errorf(codes.InvalidArgument, "from %d: want 0 or more", from.Value)
	}
	pace := time.NewTicker(tick)
	defer pace.Stop()
	for n := from.Value; ; n++ {
		if err := s.Send(wrapperspb.Int64(n)); err != nil {
			return err
		}
		// At its pace also when draining: until the client is told to go away it
		// may call again at once, and here.
		select {
		case <-pace.C:
		case <-s.Context().Done():
			return status.FromContextError(s.Context().Err()).Err()
		}
		select {
		case <-e.draining:
			return nil
		default:
		}
	}
}
