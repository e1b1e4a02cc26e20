package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
	"github.com/holdfast-go/holdfast/notify"
)

// ErrEnded: the supervisor has ended, or is about to.
var ErrEnded = errors.New("handoffd has ended")

// ErrNoSockets: no sockets were passed, and none are to be bound.
var ErrNoSockets = errors.New("no sockets were passed")

// A Supervisor runs one service. Its methods may be called by several goroutines;
// those that ask for something return ErrEnded after Run.
type Supervisor struct {
	o   Options
	log *slog.Logger
	mainLoop
	launcher *launcher
	sockets  socketList
	manager  *manager.Manager
	history  history

	// All below is Run's alone.
	machine   *machine
	instances map[uint64]*instance
	store     *storeserver.Server
	requests  *requests
	runner    process.Runner
	changed   chan struct{} // closed when Status would say something else
	drain     *drain
	vettings  sync.WaitGroup
	queues    queues
	stops     *stops
}

// New takes over what the process inherited and the connection to its manager, and
// unsets the variables that told of them. It starts nothing. Run must follow.
//
// errors.Is finds ErrNoSockets, and the errors of activation.Inherit and
// notify.Open.
func New(o Options) (*Supervisor, error) {
	s, err := newSupervisor(o)
	if err == nil {
		if err = s.open(); err != nil {
			s.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	return s, nil
}

// newSupervisor returns one that has nothing yet.
func newSupervisor(o Options) (*Supervisor, error) {
	if len(o.Program) == 0 || o.Program[0] == "" {
		return nil, errors.New("no program")
	}
	if o.StopSignal == 0 {
		o.StopSignal = defaultStopSignal
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Supervisor{
		o:         o,
		log:       o.Log,
		mainLoop:  newMainLoop(),
		instances: make(map[uint64]*instance),
		requests:  newRequests(),
		changed:   make(chan struct{}),
		history:   history{since: time.Now()},
	}
	s.machine = &machine{
		Machine: generation.New(o.Limits), log: o.Log, carryOut: s.carryOut,
		timers: newTimers(s.post, func(id uint64) { s.feed(generation.TimerFired{Timer: id}) }),
	}
	s.launcher = &launcher{o: &s.o, log: o.Log}
	s.stops = &stops{
		signal: o.StopSignal, pause: o.PauseWorkers,
		listeners: func() []*os.File { return s.sockets.files() },
		post:      s.post, changed: s.change, log: s.log,
		hasten: make(map[uint64]context.CancelFunc),
	}
	s.drain = &drain{
		mainLoop: s.mainLoop,
		sockets:  func() []*os.File { return s.sockets.files() },
		tell:     s.tellRotation,
		end:      func() { s.feed(generation.Stop{}) },
		changed:  s.change,
		log:      s.log,
	}
	s.store = storeserver.New(o.Log, func(gen uint64) { s.feed(generation.Taken{Gen: gen}) })
	s.runner = process.NewChildren(s.post, outcomes{s}, s.log)
	return s, nil
}

func (s *Supervisor) open() (err error) {
	if err = s.launcher.open(); err != nil {
		return err
	}
	n, err := notify.Open()
	if err != nil {
		return err
	}
	s.setManager(n)
	s.store.SetLimit(s.o.Store)
	err = s.inherit()
	s.manager.Probe(s.store.Stored())
	s.launcher.inherited()
	return err
}

// setManager sends everything for the service manager through n.
func (s *Supervisor) setManager(n *notify.Notifier) {
	s.manager = manager.New(n, s.post, func(err error) { s.log.Warn("the service manager could not be told", "error", err) })
	s.store.SetMirror(s.manager)
	if s.o.Watchdog == 0 {
		s.o.Watchdog = s.manager.WatchdogTimeout()
	}
}

// Run starts the first generation, and returns when the service is over: because
// Stop was called, ctx has ended, or it gave up. All generations are gone then.
func (s *Supervisor) Run(ctx context.Context) (Exit, error) {
	defer s.close()
	if err := s.begin(); err != nil {
		close(s.ended)
		return Exit{}, fmt.Errorf("supervisor: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	alive, rest := context.WithCancel(context.Background())
	defer rest()
	go func() {
		if err := s.manager.Watchdog(alive, s.answers); err != nil {
			s.log.Error("the manager's watchdog gets no signs of life", "error", err)
		}
	}()
	go func() {
		<-s.manager.Probed()
		s.post(s.store.CopyAllUp)
	}()
	if s.history.successor != nil {
		s.continueFrom(s.history.successor.st)
	} else {
		s.feed(generation.Start{Last: s.store.LastGeneration()})
	}
	s.run(func() bool { return s.machine.exit != nil })
	close(s.ended)
	s.history.replacing.Lock() // returns when none is under way any more, and no trial runs
	defer s.history.replacing.Unlock()
	s.store.CopyAllUp()
	return Exit{Status: s.machine.exit.Status, Reason: s.machine.exit.Reason, stop: s.o.StopSignal}, nil
}

// begin sees to it that children can be made, kept apart, and waited for.
func (s *Supervisor) begin() (err error) {
	if err := s.store.Watch(s.post); err != nil {
		return err
	}
	s.watchQueues()
	return s.runner.Open()
}

// close lets go of everything. What generations have stored stays with the manager.
func (s *Supervisor) close() {
	s.runner.Close()
	s.machine.timers.stop()
	s.drain.close()
	s.stops.beside.Wait()
	for _, p := range s.instances {
		s.forget(p)
	}
	s.vettings.Wait()
	s.queues.close()
	if s.manager != nil {
		if err := s.manager.Close(); err != nil {
			s.log.Warn("the service manager may not have all that was stored", "error", err)
		}
	}
	s.store.Close()
	s.sockets.close()
	s.launcher.close()
}

// feed has the machine handle e, and carries out what follows. Effects may feed
// more.
func (s *Supervisor) feed(e generation.Event) {
	if s.machine.feed(e) {
		s.extend()
		s.change()
	}
}

// change wakes those who wait for another Status.
func (s *Supervisor) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// extend asks the manager for more time while a start, a reload or the stop is under
// way, which have deadlines of their own.
func (s *Supervisor) extend() {
	busy := false
	switch s.machine.Situation() {
	case generation.ServiceStarting, generation.ServiceReady, generation.ServiceHandingOver, generation.ServiceUndoing, generation.ServiceStopping:
		busy = true
	}
	s.manager.Extend(busy)
}
