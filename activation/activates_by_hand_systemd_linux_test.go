package activation_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// systemd-socket-activate is a second manager: it passes descriptors without
// systemd, as people do when they try a service by hand.
func TestSystemdSocketActivate(t *testing.T) {
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		fd   string
	}{
		{"listener", []string{"--fdname=http"}, "http"},
		{"connection", []string{"--accept"}, activation.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			path := t.TempDir() + "/socket"
			args := append(tt.args, "--listen="+path, "--setenv="+helpertest.Variable+"="+serveOne, exe, tt.fd)
			cmd := exec.CommandContext(ctx, tool, args...)
			var log strings.Builder
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var c net.Conn
			poll.Until(t, "a connection", func() bool {
				c, err = net.Dial("unix", path)
				return err == nil || ctx.Err() != nil
			})
			if err == nil {
				c.SetDeadline(time.Now().Add(time.Minute))
				var said []byte
				said, err = io.ReadAll(c)
				c.Close()
				if !strings.HasPrefix(string(said), tt.fd+" ") {
					t.Errorf("the service said %q", said)
				}
			}
			if err != nil {
				t.Error(err)
			}
			// With --accept it goes on listening; else it became the service, which ends.
			if tt.name == "connection" {
				cmd.Process.Signal(syscall.SIGTERM)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
				t.Error(err)
			}
			if t.Failed() {
				t.Log(log.String())
			}
		})
	}
}
