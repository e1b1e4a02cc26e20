package supervisor

import (
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		exit Exit
		want int
	}{
		{Exit{}, 0},
		{Exit{Status: generation.ExitStatus{Code: 3}}, 3},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGTERM)}}, 0},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGQUIT)}, stop: syscall.SIGQUIT}, 0},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGQUIT)}, stop: syscall.SIGTERM}, 128 + 3},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGKILL)}}, 128 + 9},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGTERM)}, Reason: "they die"}, 128 + 15},
	} {
		if code := c.exit.Code(); code != c.want {
			t.Errorf("%+v: got %d, want %d", c.exit, code, c.want)
		}
	}
}
