package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// Where nobody keeps connections, as in a terminal, clients are told goodbye.
func TestRunWithoutManager(t *testing.T) {
	leaktest.Check(t)
	ctx := exampletest.Deadline(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := run(ctx, address, time.Second); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("with its address taken: got %v, want an error that names %s", err, address)
	}
	ln.Close()

	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(running, address, time.Minute) }()
	var alice *client
	exampletest.WaitFor(t, ctx, "the chat to listen", func() bool {
		alice, err = join(ctx, nil, address, "a", "alice")
		return err == nil
	})
	defer alice.conn.CloseNow()
	alice.expect(t, ctx, "* alice joined")
	stop()
	_, err = alice.hear(ctx)
	want := websocket.CloseError{Code: websocket.StatusGoingAway, Reason: "the service ends"}
	if got, ok := errors.AsType[websocket.CloseError](err); !ok || got != want {
		t.Errorf("alice got %v, want %v", err, want)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}
