package supervisor

import (
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// An Exit is how the service ended.
type Exit struct {
	Status generation.ExitStatus // of the generation to which the end is due
	Reason string                // why it was given up; "": a stop was asked
	stop   syscall.Signal
}

// Code is the status to exit with: that of the generation, 128 and the number
// where a signal ended it. A generation that the stop signal ended, as asked, has
// ended well, as with systemd.
func (e Exit) Code() int {
	switch sig := syscall.Signal(e.Status.Signal); {
	case sig == 0:
		return e.Status.Code
	case e.Reason == "" && (sig == e.stop || sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGHUP || sig == syscall.SIGPIPE):
		return 0
	}
	return 128 + e.Status.Signal
}
