package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// A client calls the server with gRPC's defaults: it has no retry policy, and its
// calls do not wait for the server to be ready (grpc.WaitForReady).
type client struct{ cc *grpc.ClientConn }

func newClient(dial dialer, address string) (*client, error) {
	cc, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }))
	if err != nil {
		return nil, err
	}
	return &client{cc}, nil
}

func mustClient(t testing.TB, dial dialer, address string) *client {
	t.Helper()
	c, err := newClient(dial, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cc.Close() })
	return c
}

const path = "/holdfast.example.Echo/"

func (c *client) say(ctx context.Context, line string) error {
	answer := new(wrapperspb.StringValue)
	if err := c.cc.Invoke(ctx, path+"Say", wrapperspb.String(line), answer); err != nil {
		return err
	}
	return same(answer, line)
}

func same(answer *wrapperspb.StringValue, want string) error {
	if answer.Value != want {
		return fmt.Errorf("the answer is %.60q, want %.60q", answer.Value, want)
	}
	return nil
}

// A talk is a call of Talk.
type talk = grpc.GenericClientStream[wrapperspb.StringValue, wrapperspb.StringValue]

func (c *client) talk(ctx context.Context) (*talk, error) {
	s, err := c.cc.NewStream(ctx, &service.Streams[0], path+"Talk")
	return &talk{ClientStream: s}, err
}

// exchange sends a line and awaits the answer.
func exchange(s *talk, line string) error {
	if err := s.Send(wrapperspb.String(line)); err != nil && err != io.EOF { // EOF: Recv says why
		return err
	}
	answer, err := s.Recv()
	if err != nil {
		return err
	}
	return same(answer, line)
}

// end ends a talk, and returns how the server ended it.
func end(s *talk) error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	switch line, err := s.Recv(); {
	case err == nil:
		return fmt.Errorf("%q came after the end", line.Value)
	case err != io.EOF:
		return err
	}
	return nil
}

// A count is a call of Ticks.
type count = grpc.GenericClientStream[wrapperspb.Int64Value, wrapperspb.Int64Value]

func (c *client) ticks(ctx context.Context, from int64) (*count, error) {
	s, err := c.cc.NewStream(ctx, &service.Streams[1], path+"Ticks")
	if err != nil {
		return nil, err
	}
	k := &count{ClientStream: s}
	if err := k.ClientStream.SendMsg(wrapperspb.Int64(from)); err != nil {
		return nil, err
	}
	return k, k.CloseSend()
}
