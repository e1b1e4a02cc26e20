package handoff

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/handoff/internal/life"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
)

// Run serves until it is told to stop, drains, and returns.
//
// It serves every listener, tells the manager READY=1 (sd_notify(3)), and takes
// over what the generation before left. While it runs it takes SIGTERM, SIGINT
// and SIGHUP: SIGHUP reloads (see OnReload); SIGTERM, SIGINT, Stop and the end of
// ctx begin the drain; a second SIGINT cuts it short. It answers the watchdog.
//
// The drain: STOPPING=1, and Ready is negative; after Options.LameDuck nothing
// more is accepted; work under way is finished, within Options.DrainTimeout;
// connections that can go on, and then the states, are left in parcels with the
// manager, who keeps them for the next generation. Where there is no manager that
// keeps anything, connections are finished and closed.
//
// nil is a clean drain. Otherwise the error says what ended the service, why it
// could not begin, or what was cut off at the end of the drain (ErrCut) or could
// not be kept (ErrLost). Everything is closed then, and the Service cannot run
// again: ErrRunning.
func (s *Service) Run(ctx context.Context) error {
	err := s.change(func(p *parts) error {
		p.run()
		return nil
	})
	if err != nil {
		return fmt.Errorf("handoff: run: %w", err)
	}
	defer s.closeAll()

	signals := make(chan os.Signal, 8)
	// Before READY=1: from then on systemd may send SIGHUP, which would kill.
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)

	r := newRun(s, signals)
	if err := r.start(ctx); err != nil {
		r.takeover.Close()
		return err
	}
	r.handle(life.Started, nil)
	r.loop(ctx)
	<-r.messages.passed()
	r.hurry(nil)
	r.extending.end(ErrDraining)
	r.upkeep.end(ErrDraining)
	r.mail.end(ErrDraining)
	close(r.over)
	resource.Receive(canceled, r.upkeep.done)
	// All of them have been told. One that does not mind leaves with the process.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.tasks.Wait()
		s.env.Tasks.Wait()
	}()
	resource.Receive(canceled, ended)
	return errors.Join(append([]error{r.cause}, r.shutdown.errs...)...)
}

// canceled has ended.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// A run is what Run's goroutine, which decides everything, works with. It never waits
// but in loop: what takes its time is done by tasks, by the shutdown, and by messages.
type run struct {
	s         *Service
	life      life.Machine
	takeover  fdstore.Takeover
	incoming  incoming
	questions chan question // of shutdowns
	failed    chan error    // what must end the service
	over      chan struct{} // closed when nobody receives from these two any more
	tasks     sync.WaitGroup
	messages  messages

	probing  task // asks what the manager keeps
	mail     task // receives what the manager sends
	upkeep   task // watchdog and counts
	reload   *reload
	spare    fdstore.SpareDescriptors
	shutdown *shutdown // the last one that was begun
	handover handover
	ending
}

func newRun(s *Service, signals <-chan os.Signal) *run {
	r := &run{
		s:         s,
		incoming:  newIncoming(signals),
		questions: make(chan question),
		failed:    make(chan error),
		over:      make(chan struct{}),
	}
	r.hurried, r.hurry = context.WithCancelCause(context.Background())
	r.takeover = fdstore.Takeover{
		Inherited:  s.set,
		Store:      s.store,
		Deliveries: fdstore.NewDeliveries(s.intake, s.env.Report),
		Registry:   &s.parts.resources,
		Report:     s.env.Report,
		First:      s.firstEntry,
		Own:        s.own,
		Rotation:   s.env.Rotation.Tell,
		Ready:      s.ready.Load,
	}
	return r
}

// A task is goroutines that end with a context.
type task struct {
	end  context.CancelCauseFunc
	done chan struct{}
}

// spawn runs fs, until all have returned.
func (r *run) spawn(fs ...func(context.Context) error) task {
	ctx, cancel := context.WithCancelCause(context.Background())
	t := task{end: cancel, done: make(chan struct{})}
	var all sync.WaitGroup
	for _, f := range fs {
		all.Go(func() {
			if err := f(ctx); err != nil {
				r.fail(err)
			}
		})
	}
	r.tasks.Go(func() {
		all.Wait()
		close(t.done)
	})
	return t
}

// fail ends the service because of err.
func (r *run) fail(err error) {
	select {
	case r.failed <- err:
	case <-r.over:
		r.s.report(err)
	}
}

// start makes the service ready.
func (r *run) start(ctx context.Context) error {
	s := r.s
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("handoff: run: %w", context.Cause(ctx))
	}
	r.mail = r.spawn(func(ctx context.Context) error {
		r.takeover.Deliveries.Run(ctx)
		return nil
	})
	if err := r.takeover.Look(ctx, s.setNumber); err != nil {
		r.mail.end(err)
		<-r.mail.done
		return err
	}
	s.dropUnclaimed()
	p := s.period.Load()
	p.Fail = r.fail
	s.parts.resources.Serve(p.Period)
	if s.intake == nil {
		s.settleStore(ctx)
	}
	if s.intake == nil && r.takeover.Empty() {
		s.own(ctx)
	}
	if s.store.Available() && s.parts.resources.Needs().Carries {
		r.spare.Fill()
	}
	return nil
}

// sendReady tells the manager that the service is ready, and starts what goes on
// beside the servers: nothing that the manager hears of that comes before READY=1.
func (r *run) sendReady() {
	s := r.s
	s.ready.Store(true)
	r.tell(s.readiness()...) // if it fails, the manager will find that the service is late
	r.messages.pass(func() {
		r.probing = r.spawn(r.probe)
		r.upkeep = r.spawn(r.watchdog, s.announceCarried)
		r.begin(s.period.Load(), nil)
	})
}

func (r *run) probe(ctx context.Context) error {
	if !r.s.needsStore() {
		return nil
	}
	if err := r.s.store.Probe(ctx); err != nil {
		r.s.reportf("nothing is carried on, connections are finished: %w", err)
	}
	return nil
}

func (r *run) watchdog(ctx context.Context) error {
	r.s.report(r.s.manager.Watchdog(ctx, r.s.o.Healthy))
	return nil
}

// dropUnclaimed gives up what was inherited and nobody has taken.
func (s *Service) dropUnclaimed() {
	left := s.set.Unclaimed()
	for _, d := range left {
		s.reportf("%v: %w: removed", d, ErrUnknown)
		if d.Name != "" && s.store.Available() {
			s.store.RemoveLater(d.Name)
		}
	}
	if err := s.set.Close(); err != nil {
		if _, ok := errors.AsType[*activation.UnclaimedError](err); !ok {
			s.report(err)
		}
	}
}

// setNumber numbers this generation, where the manager does not, after the newest that
// left something.
func (s *Service) setNumber(newest uint64) {
	if s.generation.Load() <= newest {
		s.generation.Store(newest + 1)
	}
}

// own is called when everything is this generation's.
func (s *Service) own(ctx context.Context) {
	s.owned.close(func() {
		if s.intake != nil {
			// Half of it would be worse than a drain that waits for a moment.
			s.settleStore(context.WithoutCancel(ctx))
		}
	})
}
