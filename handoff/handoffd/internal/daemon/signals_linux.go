package daemon

import (
	"os"
	"os/signal"
	"syscall"
)

// The signals to which Run listens beside SIGTERM, SIGINT and SIGHUP. These
// three wait when they are sent while handoffd replaces itself: see
// reexec.BlockSignals. For the others the Go runtime has no such place.
const (
	SignalStop   = syscall.SIGUSR1
	SignalReexec = syscall.SIGUSR2
	SignalReload = syscall.Signal(35) // SIGRTMIN+1, as the C library and systemd count
)

// An ear listens to signals.
type ear struct {
	signals chan os.Signal
	over    chan struct{}
}

// newEar listens from now on, and passes nothing on before hear.
func newEar() *ear {
	e := &ear{signals: make(chan os.Signal, 64), over: make(chan struct{})}
	e.listen()
	return e
}

func (e *ear) listen() {
	signal.Notify(e.signals, SignalStop, SignalReexec, SignalReload, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
}

// hear has passOn called for each signal, one after the other, until close. It
// returns when the supervisor knows of the signal.
func (e *ear) hear(passOn func(os.Signal)) {
	go func() {
		for {
			select {
			case sig := <-e.signals:
				if before, ok := sig.(mark); ok {
					close(before)
				} else {
					passOn(sig)
				}
			case <-e.over:
				return
			}
		}
	}()
}

// A mark is what takes a signal's place to tell when those before are dealt with.
type mark chan struct{}

func (mark) Signal()        {}
func (mark) String() string { return "mark" }

// deafen leaves signals to the program that is about to take the place of this
// one, and returns when those before have been passed on. SIGHUP and SIGINT are
// lost from now on, or they would end the new program before it listens. SIGTERM
// does end it: who is not able to stop is better dead.
func (e *ear) deafen() (listen func()) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	signal.Stop(e.signals)
	before := make(mark)
	select {
	case e.signals <- before:
	case <-e.over:
		return func() {}
	}
	select {
	case <-before:
	case <-e.over:
	}
	return e.listen
}

func (e *ear) close() {
	signal.Stop(e.signals)
	close(e.over)
}
