// Package resource has one file for each kind of thing that a service has and that goes
// from one generation to the next: HTTP servers, a Carrier's connections, any other
// server, packet sockets, states, ticket keys, and functions that run beside them.
//
// The Service knows none of the kinds: a Set starts, drains and saves all of them, and
// finds the resource that goes on with an entry of a parcel. So a new kind is a file
// here and a registration by Set.Add and Set.Route.
//
// Who calls what, in this order:
//
//	Set.Preview, Judge    what waits in parcels, before READY=1
//	Set.Serve             servers serve
//	Set.Begin             READY=1 was sent: what runs beside them
//	Set.Adopt             what came in parcels, at any time from here on
//	Set.StopAccepting     the period ends: a release, or the drain
//	Set.Drain             work under way ends, or goes to the next generation
//	Set.Savers            states are saved
//
// After a release that failed there is another Period, and it starts with Set.Serve.
package resource

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A Resource is one thing that the service has from its registration until Run returns.
// A kind may be a Background, a Finisher, an Adopter, an Early, a Saver, a Promiser or a
// Counter, too.
type Resource interface {
	// Start has it serve in p. It is called again for the next period, when
	// StopAccepting was called, and Drain of the period before may still be under
	// way. What ends the service later goes to p.Fail.
	Start(p *Period)

	// StopAccepting stops taking new work. It closes its listeners if last, and else
	// leaves them open for the next generation, or for the next period.
	StopAccepting(last bool)

	// Drain finishes the work of p under way, or gives it to the next generation. It
	// returns soon after ctx has ended; who does not is left behind.
	Drain(ctx context.Context, p *Period) error

	// Needs says what it asks of the store and of handoffd.
	Needs() Needs

	// String names it in errors.
	String() string
}

// Needs say what a resource asks of the store and of handoffd. It does not change once
// the Set is frozen.
type Needs struct {
	Carries   bool // connections may go into a parcel
	Entries   int  // of the store, beside parcels
	Leaves    bool // something goes to the next generation by another way than these
	Fixed     bool // it cannot start a second time
	Listeners int  // those of the Service that it stops without closing them
}

// A Background resource works beside the servers, from READY=1 on and in one period at a
// time, and may use them: it ends first.
type Background interface {
	Resource
	End(p *Period)                  // tells it that p is over; does not wait
	Over(p *Period) <-chan struct{} // closed when nothing of p runs any more
}

// A Finisher has work to end that others may add to until they have drained.
type Finisher interface {
	Finish(ctx context.Context, p *Period) error // as Drain
}

// An Adopter goes on with entries of a kind and name that another generation left.
type Adopter interface {
	// Judge says what becomes of e, before anything is taken. It reports what is not
	// taken.
	Judge(e protocol.Entry) protocol.Fate

	// Adopt takes e over, with its descriptors in it, which it closes; it is nil for an
	// Early. An error of an Early ends the service. Another says that the entry is
	// lost.
	Adopt(ctx context.Context, e protocol.Entry, it *parcel.Item) error
}

// An Early adopts an entry by its payload, before anything is taken out of the parcel:
// then the entry is still there for the next generation if this one dies in Adopt.
type Early interface {
	Adopter

	// Preview shows an entry that waits in a parcel. All are shown that wait when the
	// generation starts before one of them is judged.
	Preview(e protocol.Entry)
}

// A Saver leaves an entry when everything has drained.
type Saver interface {
	Resource

	// Save returns the entry; ok is false where it is not this generation's to save.
	Save(ctx context.Context) (e parcel.Entry, ok bool, err error)

	// Resume takes back what was saved, when it was: this generation goes on with
	// it. What a successor did to it is lost.
	Resume(ctx context.Context) error
}

// A Promiser says in the manifest what it will leave.
type Promiser interface {
	// Promise returns an entry of the manifest.
	Promise() parcel.Entry

	// Promised shows what the manifest of another generation says. It is called for
	// each manifest that there is, the latest last. It keeps nothing of the payloads.
	Promised(entries []protocol.Entry) error

	// CheckPromised returns why this generation must not replace the one that has
	// promised, if so, and when everything in parcels was shown to Preview.
	CheckPromised() error
}

// A Counter counts connections by itself while a period goes on.
type Counter interface {
	Counts() (finished, cut uint64)
	Forget(p *Period) // adds the counts of p, which is over, to Env.Report.Count
}

// Outgoing takes what goes to the next generation.
type Outgoing interface {
	// Put has e sent. Where it returns nil it calls done exactly once, when e is in a
	// parcel or cannot be; otherwise e was not taken.
	Put(ctx context.Context, e parcel.Entry, done func(error)) error

	// Flush sends what was put in. What cannot be sent comes back, by done.
	Flush(ctx context.Context)
}

// Env is what the Service gives its resources, in place of a pointer to itself. Its
// functions may be called at any time, because what they return changes.
type Env struct {
	Report     *report.Reporter
	Generation func() uint64
	Leaving    func() bool           // told to stop, or to release
	Stores     func() bool           // the manager may keep something
	Owned      <-chan struct{}       // closed when this generation is alone
	Rotation   *rotation.Membership  // of the service
	Announce   func(context.Context) // the manifest has changed

	Tasks sync.WaitGroup // goroutines that Run waits for at its end

	mu      sync.Mutex
	present *Period
}

// Present returns the period that serves, or that served last.
func (v *Env) Present() *Period {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.present
}

// Enter makes p the present period.
func (v *Env) Enter(p *Period) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.present = p
}

// Payload fills in what all records of this generation have, and marshals.
func (v *Env) Payload(r protocol.Record) []byte {
	r.Generation = v.Generation()
	r.Saved = time.Now()
	return r.Marshal()
}

func (v *Env) owned() bool {
	select {
	case <-v.Owned:
		return true
	default:
		return false
	}
}
