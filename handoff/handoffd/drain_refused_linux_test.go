package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
)

// A refusing service has begun a reload by the time it is asked to drain.
type refusing struct {
	control.Supervisor
	ln      syscall.Conn
	changed chan struct{}
}

func (s refusing) Status(context.Context) (control.Status, <-chan struct{}, error) {
	return control.Status{Situation: "serving", PID: os.Getpid()}, s.changed, nil
}

func (s refusing) Drain(ctx context.Context, _ time.Duration) (control.Verdict, error) {
	// Time enough for whoever means to help.
	for deadline := time.Now().Add(time.Second); !rotation.Held(s.ln) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return control.Verdict{Action: control.ActionDrain, Outcome: control.Refused, Reason: "a reload is under way"}, nil
}

// TestRefusedDrain: where the service refuses to drain, or has come back meanwhile,
// the verb does not keep clients from it.
func TestRefusedDrain(t *testing.T) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // or it takes no filter
	ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	sock := ln.(syscall.Conn)
	path := filepath.Join(t.TempDir(), "control")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- control.Serve(ctx, l, refusing{ln: sock, changed: make(chan struct{})}, control.Options{})
	}()
	if out, code := verb(t, "drain", "--control", path); code != exitUndone {
		t.Errorf("drain exits with %d: %s", code, out)
	}
	if rotation.Held(sock) {
		t.Error("new clients are dropped, for good")
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
