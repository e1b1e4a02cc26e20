package resource

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A Period is a time in which the service serves: from Run, or from where it resumed,
// until it releases or drains. Mostly there is one. A Period is known by its address:
// resources have maps whose keys are Periods.
type Period struct {
	// The contexts of connections that can be carried, and of those that cannot. They
	// end, with report.ErrDraining as the cause, when the period drains.
	Carrying, Finishing context.Context
	endCarry, endFinish context.CancelCauseFunc

	// Fail ends the service because of err. It may block until Run hears it. It is set
	// before the period starts.
	Fail func(err error)

	out       atomic.Pointer[Outgoing] // nil until it drains, and where nothing is carried
	abandoned atomic.Bool              // its drain goes on beside the next period
	followed  chan struct{}            // closed when that serves
	beginning sync.Mutex               // held while what runs beside the servers begins
}

// NewPeriod returns a Period that has not started.
func NewPeriod() *Period {
	p := &Period{followed: make(chan struct{})}
	p.Carrying, p.endCarry = context.WithCancelCause(context.Background())
	p.Finishing, p.endFinish = context.WithCancelCause(context.Background())
	return p
}

// Out returns where connections go that this period does not finish; nil: nowhere.
func (p *Period) Out() Outgoing {
	if out := p.out.Load(); out != nil {
		return *out
	}
	return nil
}

// SetOut says where connections go. It comes before Set.Drain.
func (p *Period) SetOut(out Outgoing) { p.out.Store(&out) }

// Abandon has what was about to go to the next generation stay here, in the next period:
// it waits until Follow is called.
func (p *Period) Abandon() { p.abandoned.Store(true) }

// Follow says that the next period serves. It is called at most once.
func (p *Period) Follow() { close(p.followed) }

// End ends the contexts of all connections.
func (p *Period) End() {
	p.endFinish(report.ErrDrainAlone)
	if p.Out() == nil {
		p.endCarry(report.ErrDrainAlone)
	} else {
		p.endCarry(report.ErrDraining)
	}
}

// A connection is one on its way to the next generation.
type connection struct {
	net.Conn
	protocol.Entry

	// stay has this generation go on with it in the period that is present by then.
	stay func(ctx context.Context, settled func(error)) error
}

// sendOn gives a connection to the next generation. When it fails the connection is
// still the caller's. Otherwise settled is called exactly once: with nil when the
// connection has gone, and was closed here, or has stayed; with an error when it could
// not go, and is the caller's again.
func (p *Period) sendOn(ctx context.Context, env *Env, c connection, settled func(error)) error {
	if p.abandoned.Load() {
		<-p.followed
		return c.stay(ctx, settled)
	}
	out := p.Out()
	if out == nil {
		return report.ErrNoSuccessor
	}
	sock := socketOf(c.Conn)
	if sock == nil {
		return fmt.Errorf("%T is no socket", c.Conn)
	}
	e := parcel.Entry{Kind: c.Kind, Name: c.Name, Payload: env.Payload(c.Record), Descriptors: []syscall.Conn{sock}}
	return out.Put(ctx, e, func(err error) {
		if err == nil {
			env.Report.Count.CarriedOut.Add(1)
			c.Close()
		}
		settled(err)
	})
}

// sendOnOrClose gives a connection to the next generation that nobody serves any more.
// It is closed where that fails.
func (p *Period) sendOnOrClose(env *Env, c connection) {
	settled := func(err error) {
		if err != nil {
			env.Report.Lose(c.Conn, err)
		}
	}
	if err := p.sendOn(context.Background(), env, c, settled); err != nil {
		settled(err)
	}
}

// socketOf returns what gives access to the socket below c, nil where it cannot
// be carried. What TLS needs to go on is not in its socket.
func socketOf(c net.Conn) syscall.Conn {
	for c != nil {
		if _, ok := c.(*tls.Conn); ok {
			return nil
		}
		if sc, ok := c.(syscall.Conn); ok {
			return sc
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = below.NetConn()
	}
	return nil
}
