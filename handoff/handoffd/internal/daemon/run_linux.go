package daemon

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// Options say what to run. The zero value of all but Supervisor works.
type Options struct {
	Supervisor supervisor.Options // Run sets its Log
	Version    string             // of handoffd, for status
	Control    string             // where the control socket is made; "" makes none
	PIDFile    string             // "" is none
	StatusFile string             // "" is none
	Debug      bool               // log every event and what follows from it
}

// Run is the service's main process: it runs generations until the service has
// ended, and returns the exit status that is to be handoffd's own: 0, or as the
// program ended. Signals go to it while it runs; it logs to standard error. It ends
// when a signal or the program says so, and not with ctx. One process calls it once,
// since it may replace the process by a newer handoffd.
func Run(ctx context.Context, o Options) (code int, err error) {
	log := newLogger(os.Stderr, o.Debug)
	o.Supervisor.Log = log
	// systemd has it ignored, and the Go runtime ends the process for it all the same
	// where nobody reads standard error any more.
	signal.Ignore(syscall.SIGPIPE)
	successor, err := supervisor.Inherit()
	if err != nil {
		return 0, err
	}
	if successor == nil {
		blockSignals(log)
	}
	// Before the first generation is ready: from then on the manager may reload.
	ear := newEar()
	defer ear.close()
	if successor != nil && successor.OnTrial() {
		if _, err := newSupervisor(o.Supervisor, successor); err != nil {
			return 0, err
		}
		return 0, successor.Pass(o.Version)
	}
	pid, file, err := openFiles(o, log, successor != nil)
	if err != nil {
		return 0, err
	}
	defer pid.close()
	defer file.close()
	s, err := newSupervisor(o.Supervisor, successor)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &replacement{s: s, ear: ear, log: log}
	r.control = openControl(o, log, controlled{s, r, o.Version}, successor)
	var beside sync.WaitGroup
	beside.Go(func() { r.control.serve(ctx) })
	beside.Go(func() { file.follow(ctx, s) })
	interrupts := 0
	ear.hear(func(sig os.Signal) {
		if sig == syscall.SIGINT {
			interrupts++
		}
		switch {
		case sig == SignalReload || sig == syscall.SIGHUP:
			s.Hangup()
		case sig == SignalReexec:
			go r.bySignal(ctx)
		case sig == syscall.SIGINT && interrupts > 1:
			s.Hurry()
		default:
			s.Stop()
		}
	})
	end, err := s.Run(context.WithoutCancel(ctx))
	cancel()
	beside.Wait()
	if err != nil {
		return 0, err
	}
	if end.Reason != "" {
		log.Error("the service ends", "reason", end.Reason, "status", end.Status.String())
	}
	return end.Code(), nil
}

// newSupervisor returns one that starts, or that goes on where the program before
// stood.
func newSupervisor(o supervisor.Options, successor *supervisor.Successor) (*supervisor.Supervisor, error) {
	if successor != nil {
		return successor.Restore(o)
	}
	return supervisor.New(o)
}
