package resource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A ConnFunc is handoff.ConnFunc.
type ConnFunc = func(ctx context.Context, c net.Conn, state []byte) (carry []byte, err error)

// writeGrace is for how long after the drain began a Write may wait.
const writeGrace = 250 * time.Millisecond

// A Carrier serves connections by a ConnFunc, and carries them on.
type Carrier struct {
	env   *Env
	name  string
	serve ConnFunc
	slots chan struct{} // holds a token for each connection; nil: no limit

	mu     sync.Mutex
	idle   sync.Cond // nothing of a period is live any more
	live   map[*carried]struct{}
	count  map[*Period]int                // of what is live
	ended  map[*Period]bool               // in which no more is served, and what was live was cut
	gates  []*gate                        // of the present period
	began  bool                           // the gates have served
	accept map[*Period]*sync.WaitGroup    // who accepts
	waking map[*Period]context.CancelFunc // while a period drains

	refused sync.Once // the first connection that was refused is reported
}

var _ interface {
	Resource
	Finisher
	Adopter
} = (*Carrier)(nil)

// NewCarrier returns a Carrier for at most maxConns connections at once; 0: any number.
func NewCarrier(env *Env, name string, serve ConnFunc, maxConns int) *Carrier {
	k := &Carrier{
		env: env, name: name, serve: serve,
		live: make(map[*carried]struct{}), count: make(map[*Period]int), ended: make(map[*Period]bool),
		accept: make(map[*Period]*sync.WaitGroup), waking: make(map[*Period]context.CancelFunc),
	}
	k.idle.L = &k.mu
	if maxConns > 0 {
		k.slots = make(chan struct{}, maxConns)
	}
	return k
}

// A carried is a connection that a Carrier serves.
type carried struct {
	net.Conn
	p        *Period
	slot     bool // it has one
	returned bool // its ConnFunc has
}

// Listen adds a listener, which is called name; "" if it is not the Service's. It comes
// before the first period.
func (k *Carrier) Listen(ln net.Listener, name string) {
	k.gates = append(k.gates, newGate(k.env.Rotation, ln, name, false))
}

// Start accepts.
func (k *Carrier) Start(p *Period) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.began {
		gates := k.gates
		k.gates = nil
		for _, g := range gates {
			k.gates = append(k.gates, g.again())
		}
	}
	k.began = true
	all := new(sync.WaitGroup)
	k.accept[p] = all
	for _, g := range k.gates {
		all.Go(func() {
			g.open()
			err := serveError(g, k.acceptAll(p, g))
			if !g.stopped.Load() {
				go p.Fail(err) // nobody who drains waits for Run to hear it
			}
		})
	}
}

// StopAccepting stops its gates.
func (k *Carrier) StopAccepting(last bool) {
	k.mu.Lock()
	gates := slices.Clone(k.gates)
	k.mu.Unlock()
	for _, g := range gates {
		g.stop(last)
	}
}

// Drain wakes the ConnFuncs of p, until Finish returns, and waits until nothing more is
// accepted.
func (k *Carrier) Drain(ctx context.Context, p *Period) error {
	waking, stop := context.WithCancel(ctx)
	k.mu.Lock()
	k.waking[p] = stop
	all := k.accept[p]
	k.mu.Unlock()
	k.env.Tasks.Go(func() { k.wake(waking, p) })
	if all != nil {
		waitAll(ctx, all)
	}
	return nil
}

// Finish waits until nothing of p is served any more, and cuts what is left when ctx ends.
func (k *Carrier) Finish(ctx context.Context, p *Period) error {
	n := k.end(ctx, p)
	k.mu.Lock()
	stop := k.waking[p]
	delete(k.waking, p)
	delete(k.accept, p)
	k.mu.Unlock()
	if stop != nil {
		stop()
	}
	if n == 0 {
		return nil
	}
	k.env.Report.Count.Closed.Add(uint64(n))
	return fmt.Errorf("handoff: %v: %d connections: %w: %w", k, n, report.ErrCut, context.Cause(ctx))
}

// Needs a parcel.
func (k *Carrier) Needs() Needs {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Needs{
		Carries:   true,
		Fixed:     slices.ContainsFunc(k.gates, func(g *gate) bool { return !g.pausable() }),
		Listeners: len(k.gates),
	}
}

func (k *Carrier) String() string { return fmt.Sprintf("carrier %q", k.name) }

// Judge takes all.
func (k *Carrier) Judge(protocol.Entry) protocol.Fate { return protocol.Take }

// Adopt serves a connection that another generation has left, and waits for a slot.
// Where ctx ends first, the connection goes to the next generation.
func (k *Carrier) Adopt(ctx context.Context, e protocol.Entry, it *parcel.Item) error {
	defer it.Close()
	c, err := it.NetConn(0)
	if err != nil {
		return err
	}
	slot := k.take(ctx) == nil
	k.env.Report.CountCarriedIn()
	if p := k.env.Present(); !slot && p.Out() != nil {
		p.sendOnOrClose(k.env, k.outbound(c, e))
		return nil
	}
	k.goOn(c, e.Record, slot)
	return nil
}

// outbound is a connection that goes to the next generation, or stays here.
func (k *Carrier) outbound(c net.Conn, e protocol.Entry) connection {
	return connection{Conn: c, Entry: e, stay: func(_ context.Context, settled func(error)) error {
		c.SetDeadline(time.Time{})
		k.goOn(c, e.Record, false)
		settled(nil)
		return nil
	}}
}

// acceptAll accepts until the gate is stopped, and returns why it ended.
func (k *Carrier) acceptAll(p *Period, g *gate) error {
	ctx := p.Carrying
	for pause := time.Duration(0); ; {
		c, err := g.Accept()
		if err == nil {
			pause = 0
			// What was accepted as the drain began is carried on, too.
			slot := k.take(ctx) == nil
			if err := k.start(c, nil, slot); err != nil {
				return err
			}
			continue
		}
		if !passing(err) {
			return err
		}
		// As net/http does: connections that end make room.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// passing reports whether an error of Accept may pass.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
