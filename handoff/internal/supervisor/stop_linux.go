package supervisor

import (
	"context"
	"os"

	"github.com/holdfast-go/holdfast/handoff/internal/workers"
)

// tellToStop sends p the stop signal, with Options.PauseWorkers once its workers stand
// still. Asked again, it waits for them no longer.
func (s *Supervisor) tellToStop(p *instance) {
	pid, alive := p.Main()
	switch {
	case s.o.PauseWorkers <= 0 || !alive:
		s.signalStop(p)
		return
	case p.hasten != nil:
		p.hasten()
		return
	}
	var listeners []*os.File
	for _, f := range s.sockets {
		listeners = append(listeners, f.File)
	}
	program := workers.Program{Main: pid, Processes: p.Processes, Listeners: listeners}
	ctx, hasten := context.WithTimeout(context.Background(), s.o.PauseWorkers)
	p.hasten = hasten
	s.pauses++
	s.beside.Go(func() {
		defer hasten()
		pause := workers.Begin(ctx, program)
		if s.post(func() { s.signalStop(p) }) {
			pause.Signalled()
		}
		pause.End()
		s.post(func() {
			p.hasten = nil
			s.pauses--
			s.change()
		})
	})
}

func (s *Supervisor) signalStop(p *instance) {
	s.logOf(p.Signal(s.o.StopSignal), p.number, "the stop signal could not be sent")
}
