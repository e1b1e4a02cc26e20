package supervisor

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/workers"
)

// stops tell generations to end. They belong to Run's goroutine.
type stops struct {
	signal    syscall.Signal
	pause     time.Duration // how long workers may take to stand still; 0: they are not stopped
	listeners func() []*os.File
	post      func(f func()) bool
	changed   func()
	log       *slog.Logger

	hasten map[uint64]context.CancelFunc // has the signal sent at once, while workers come to stand still
	beside sync.WaitGroup                // goroutines that post, and end by themselves
}

// tell sends p the stop signal, and if there is a pause once its workers stand still.
// Asked again, it waits for them no longer.
func (st *stops) tell(p *instance) {
	pid, alive := p.Main()
	if st.pause <= 0 || !alive {
		st.send(p)
		return
	}
	if hasten := st.hasten[p.number]; hasten != nil {
		hasten()
		return
	}
	program := workers.Program{Main: pid, Processes: p.Processes, Listeners: st.listeners()}
	ctx, hasten := context.WithTimeout(context.Background(), st.pause)
	st.hasten[p.number] = hasten
	st.beside.Go(func() {
		defer hasten()
		pause := workers.Begin(ctx, program)
		if st.post(func() { st.send(p) }) {
			pause.Signalled()
		}
		pause.End()
		st.post(func() {
			delete(st.hasten, p.number)
			st.changed()
		})
	})
}

func (st *stops) send(p *instance) {
	if err := p.Signal(st.signal); err != nil {
		st.log.Warn("the stop signal could not be sent", "generation", p.number, "error", err)
	}
}

// busy reports whether workers stand still that are to go on.
func (st *stops) busy() bool { return len(st.hasten) > 0 }
