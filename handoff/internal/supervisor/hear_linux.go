package supervisor

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// hear passes on what p says, one message at a time, until its socket is closed, or
// ctx ends: then nothing is under way.
func (s *Supervisor) hear(ctx context.Context, p *instance) {
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
		if !s.post(func() { s.notified(p, n); close(heard) }) {
			n.Close()
			return
		}
		<-heard // a flood waits in the socket
	}
}

// notified does what the service manager does, sd_notify(3).
func (s *Supervisor) notified(p *instance, n *notify.Notification) {
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
		s.mainPID(p, text)
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
	s.notifiedWatchdog(p, m)
	switch {
	case m.Has("FDSTOREREMOVE", "1"):
		s.store.Remove(p.number, m.FDName())
	case m.Has("FDSTORE", "1"):
		s.store.Store(p.number, m.FDName(), n.Take(), !m.Has("FDPOLL", "0"), s.endsForGood())
	}
	if m.Has("STOPPING", "1") {
		p.stopTimer()
		why := []string{p.says.Failure.String()}
		if text, ok := m.Get("STATUS"); ok {
			why = append(why, report.Clip(text, manager.StatusBytes))
		}
		s.feed(generation.Stopping{Gen: p.number, Why: strings.Trim(strings.Join(why, ", "), ", ")})
	} else if m.Has("READY", "1") && !p.ready && s.o.Ready.mode == readyNotify {
		p.ready = true
		p.watchdog = s.o.Watchdog
		s.guard(p)
		p.resumable = m.Has(parcel.Resumable, "1")
		s.feed(generation.Ready{Gen: p.number, Resumable: p.resumable})
	}
}

// mainPID makes another process of the generation its main one: of a program that
// forks.
func (s *Supervisor) mainPID(p *instance, text string) {
	pid, err := strconv.Atoi(text)
	if err == nil {
		err = p.SetMain(pid)
	}
	if err != nil {
		s.log.Debug("the main process stays the same", "generation", p.number, "MAINPID", text, "reason", err)
	}
}

func (s *Supervisor) notifiedWatchdog(p *instance, m notify.Message) {
	if text, ok := m.Get("WATCHDOG_USEC"); ok && p.watchdog > 0 {
		if d, err := notify.ParseUsec(text); err == nil && d > 0 {
			p.watchdog = d
			p.stopTimer() // a shorter one must not wait for the end of the longer
			s.guard(p)
		}
	}
	switch {
	case m.Has("WATCHDOG", "trigger"):
		s.feed(generation.Silent{Gen: p.number})
	case m.Has("WATCHDOG", "1"):
		s.guard(p)
	}
}

// guard has p replaced if it is silent from now on.
func (s *Supervisor) guard(p *instance) {
	if p.watchdog <= 0 || p.hasExited() {
		return
	}
	p.heard = time.Now()
	if p.timer != nil {
		return // it looks at heard when it fires
	}
	s.rearm(p, p.watchdog)
}

// rearm looks after d whether p has been silent.
func (s *Supervisor) rearm(p *instance, d time.Duration) {
	var t *time.Timer
	overdue := func() bool {
		if p.timer != t {
			return false // stopped meanwhile
		}
		left := time.Until(p.heard.Add(p.watchdog))
		if left > 0 {
			s.rearm(p, left)
		}
		return left <= 0
	}
	silent := func() {
		if overdue() {
			p.timer = nil
			s.feed(generation.Silent{Gen: p.number})
		}
	}
	t = time.AfterFunc(d, func() {
		s.post(func() {
			if !overdue() {
				return
			}
			// It may be this process that was held up: then what the generation has said
			// waits in its socket.
			addr := p.receiver.Addr()
			go func() {
				await(addr)
				s.post(silent)
			}()
		})
	})
	p.timer = t
}

// endsForGood reports whether the service is stopping, and no later generation will
// come in this process.
func (s *Supervisor) endsForGood() bool {
	return s.machine.Situation() == generation.ServiceStopping && s.drain.stage == inRotation
}
