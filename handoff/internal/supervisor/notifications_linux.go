package supervisor

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// receiveNotifications passes on what p says, one message at a time, until its socket is closed, or
// ctx ends: then nothing is under way.
func (s *Supervisor) receiveNotifications(ctx context.Context, p *instance) {
	for {
		n, err := p.receiver.Receive(ctx)
		switch {
		case errors.Is(err, notify.ErrRefused):
			s.log.Debug("notification refused", "generation", p.number, "error", err)
			continue
		case err != nil:
			return
		}
		heard := make(chan struct{})
		if !s.post(func() { s.handleNotification(p, n); close(heard) }) {
			n.Close()
			return
		}
		<-heard // a flood waits in the socket
	}
}

// handleNotification does what the service manager does, sd_notify(3).
func (s *Supervisor) handleNotification(p *instance, n *notify.Notification) {
	defer n.Close()
	if n.Barrier() {
		return // Close answers it
	}
	if !s.mayNotify(p, n) {
		s.log.Debug("notification ignored", "generation", p.number, "pid", n.PID, "uid", n.UID)
		return
	}
	m := n.Message
	if text, ok := m.Get("MAINPID"); ok {
		s.setMain(p, text)
	}
	if text, ok := m.Get("STATUS"); ok {
		p.text = report.Clip(text, manager.StatusBytes)
		s.change()
	}
	s.noteSelfReport(p, m)
	if text, ok := m.Get("EXTEND_TIMEOUT_USEC"); ok {
		if by, err := notify.ParseUsec(text); err == nil {
			s.feed(generation.Extend{Gen: p.number, By: by})
		}
	}
	s.handleWatchdog(p, m)
	switch {
	case m.Has("FDSTOREREMOVE", "1"):
		s.store.Remove(p.number, m.FDName())
	case m.Has("FDSTORE", "1"):
		s.store.Store(p.number, m.FDName(), n.Take(), !m.Has("FDPOLL", "0"), s.endsForGood())
	}
	if m.Has("STOPPING", "1") {
		p.stopTimers()
		why := []string{p.says.Failure.String()}
		if text, ok := m.Get("STATUS"); ok {
			why = append(why, report.Clip(text, manager.StatusBytes))
		}
		s.feed(generation.Stopping{Gen: p.number, Why: strings.Trim(strings.Join(why, ", "), ", ")})
	} else if m.Has("READY", "1") && p.readiness.notified() {
		if !p.hasExited() {
			p.watchdog.setLimit(s.o.Watchdog)
		}
		p.orders.resumable = m.Has(parcel.Resumable, "1")
		p.readiness.said()
	}
}

// setMain makes another process of the generation its main one: of a program that
// forks.
func (s *Supervisor) setMain(p *instance, text string) {
	pid, err := strconv.Atoi(text)
	if err == nil {
		err = p.SetMain(pid)
	}
	if err != nil {
		s.log.Debug("the main process stays the same", "generation", p.number, "MAINPID", text, "reason", err)
	}
}

// handleWatchdog deals with signs of life, and with what is about them.
func (s *Supervisor) handleWatchdog(p *instance, m notify.Message) {
	if text, ok := m.Get("WATCHDOG_USEC"); ok && p.watchdog.limit > 0 && !p.hasExited() {
		if d, err := notify.ParseUsec(text); err == nil && d > 0 {
			p.watchdog.setLimit(d)
		}
	}
	switch {
	case m.Has("WATCHDOG", "trigger"):
		s.feed(generation.Silent{Gen: p.number})
	case m.Has("WATCHDOG", "1") && !p.hasExited():
		p.watchdog.signOfLife()
	}
}

// mayNotify reports whether the sender of n is one whose word counts. The socket is
// open to every user of the machine, since generations may run under any.
//
// Some send and end at once, and then only their user is known: one that is ours, or
// root, could do worse. So it is where it cannot be known whose process it is.
func (s *Supervisor) mayNotify(p *instance, n *notify.Notification) bool {
	main, _ := p.Main()
	switch {
	case n.PID == main:
		return true
	case s.o.NotifyAccess == NotifyMain:
		return false
	}
	return n.UID == 0 || int(n.UID) == os.Geteuid() || p.Contains(n.PID)
}

// await returns when the notifications that were sent to addr before have been
// dealt with.
func await(addr string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + addr}}.Open()
	if err != nil {
		return // it was forgotten
	}
	defer n.Close()
	n.Barrier(ctx)
}

// endsForGood reports whether the service is stopping, and no later generation will
// come in this process.
func (s *Supervisor) endsForGood() bool {
	return s.machine.Situation() == generation.ServiceStopping && s.drain.stage == inRotation
}
