package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
)

// A drainStage is how far the service has left a load balancer's rotation.
type drainStage int

const (
	inRotation drainStage = iota
	leaving               // clients that come now wait, or are still served
	ending                // nobody waits any more: the generations were told to end
	drained               // there is no generation, and clients are refused
)

func (st drainStage) String() string {
	return [...]string{"", "leaving the rotation", "leaving the rotation", "out of the rotation"}[st]
}

// errDrained refuses what a service that is not in the rotation cannot do.
var errDrained = errors.New("the service is out of the rotation, or on its way; handoffd undrain brings it back")

// emptyTimeout bounds the wait for clients that are let in already. A handshake
// whose last segment was lost takes longer.
const emptyTimeout = 10 * time.Second

// holdTimeout is how long a caller of Drain may take to do what this process may not.
const holdTimeout = 5 * time.Second

// shutAfter is how long generations that were told to end get to close their
// listeners, before those are shut under them.
const shutAfter = time.Second

// errStays is why a drain ends that is not wanted any more.
var errStays = errors.New("the service is to stay")

// A drain is the service's way out of a load balancer's rotation, and back. It belongs
// to Run's goroutine.
type drain struct {
	mainLoop
	sockets func() []*os.File
	tell    func(away bool) // the generations
	end     func()          // has them end
	changed func()
	log     *slog.Logger

	stage  drainStage
	cancel context.CancelCauseFunc // ends leaving; nil before the first time
	reason string                  // why the last one was undone
	beside sync.WaitGroup          // goroutines that post, and end by themselves
}

// start has the service leave the rotation.
func (d *drain) start(lameDuck time.Duration) {
	ctx, cancel := context.WithCancelCause(context.Background())
	d.stage, d.cancel, d.reason = leaving, cancel, ""
	d.tell(true)
	d.changed()
	d.beside.Go(func() {
		err := d.empty(ctx, lameDuck)
		d.post(func() {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				d.undo(err)
				return
			}
			d.stage = ending
			d.end()
			d.beside.Go(func() {
				select {
				case <-time.After(shutAfter):
					d.post(d.shut)
				case <-d.ended:
				}
			})
		})
	})
}

// empty lets no new client in, and waits until there is none whose handshake is under
// way or who waits to be accepted.
func (d *drain) empty(ctx context.Context, lameDuck time.Duration) error {
	select {
	case <-time.After(lameDuck):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var held []syscall.Conn
	for _, l := range d.listeners() {
		if err := hold(ctx, l); err != nil {
			return fmt.Errorf("socket %q: %w", l.Name(), err)
		}
		held = append(held, l)
	}
	waiting, cancel := context.WithTimeout(ctx, emptyTimeout)
	defer cancel()
	err := rotation.Settled(waiting, held...)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		d.log.Warn("the service leaves the rotation, and not every client was served", "error", err)
		return nil
	}
	return err
}

// hold has a listener drop new clients. Where this process may not do that it waits
// for the caller of Drain, who may.
func hold(ctx context.Context, l *os.File) error {
	err := rotation.Hold(l)
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(holdTimeout)
	for !rotation.Held(l) {
		select {
		case <-ticks.C:
		case <-deadline:
			return fmt.Errorf("%w: the kernel wants CAP_NET_ADMIN for it: run handoffd drain as root, or give the service that capability", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// listeners returns the sockets that can leave, those of TCP. The rest are sockets of
// this machine's own clients, and go on queueing them.
func (d *drain) listeners() []*os.File {
	var list []*os.File
	for _, f := range d.sockets() {
		if rotation.Applies(f) {
			list = append(list, f)
		}
	}
	return list
}

// abandon has a service that leaves stay, and say why, some time later.
func (d *drain) abandon(why error) {
	if d.stage == leaving {
		d.cancel(why)
	}
}

// undo has a service that leaves stay.
func (d *drain) undo(why error) {
	if d.stage != leaving {
		return
	}
	d.stage, d.reason = inRotation, why.Error()
	d.reopen()
	d.tell(false)
	d.changed()
}

// shut refuses clients, where the service is about to be out.
func (d *drain) shut() {
	if d.stage != ending {
		return
	}
	for _, l := range d.listeners() {
		d.logOf(rotation.Shut(l), "a listener could not be shut")
	}
}

// finish is called when the last generation is gone.
func (d *drain) finish() {
	d.shut()
	d.stage = drained
	d.log.Info("the service is out of the rotation", "handoff_event", "drained")
}

// stay takes it that what follows is not for the sake of the rotation any more.
func (d *drain) stay() { d.stage, d.reason = inRotation, "" }

// reopen has the listeners listen: after a drain, and before this process hands them
// back, or at the start, to undo one of a process that was killed.
func (d *drain) reopen() {
	for _, l := range d.listeners() {
		d.logOf(rotation.Open(l), "a listener does not listen")
	}
}

// close ends a drain that is under way, and returns when nothing of it is.
func (d *drain) close() {
	if d.cancel != nil {
		d.cancel(ErrEnded)
	}
	d.beside.Wait()
	d.reopen()
}

func (d *drain) logOf(err error, text string) {
	if err != nil {
		d.log.Warn(text, "generation", 0, "error", err)
	}
}
