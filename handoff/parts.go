package handoff

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
)

// parts are what a service consists of. It is added to until Run begins, which reads it
// without the lock.
type parts struct {
	resources resource.Set

	mu        sync.Mutex
	running   bool
	closed    bool
	names     map[net.Listener]string // of those that Listen returned
	taken     map[string]bool         // packet sockets
	sockets   []net.PacketConn
	servers   map[*http.Server]*resource.HTTP
	served    []net.Listener
	keys      *resource.TicketKeys // nil without ServeTLS
	funcs     resource.Funcs
	reloads   []func(context.Context) error
	reloading sync.Mutex // held while they run
	binds     bool       // a socket that the store keeps
	later     []error    // to be reported without the lock
}

func (p *parts) init(env *resource.Env, o Options) {
	p.names = make(map[net.Listener]string)
	p.taken = make(map[string]bool)
	p.servers = make(map[*http.Server]*resource.HTTP)
	p.resources.Stray("", resource.Strays(o.KeepConns))
	p.resources.Stray(protocol.KindState, resource.StrayStates{Env: env, KeepFor: o.KeepStates})
}

// change runs f, which adds to p, and returns what is to be reported.
func (p *parts) change(f func(p *parts) error) (later []error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.running:
		err = ErrRunning
	case p.closed:
		err = fmt.Errorf("%w: it was closed", ErrRunning)
	default:
		err = f(p)
	}
	later = p.later
	p.later = nil
	return later, err
}

// serve notes that a server gets ln, and returns the name under which Listen returned
// it, "" where that was not so. Listeners are compared as values, where they can be.
func (p *parts) serve(ln net.Listener) (name string, err error) {
	if !reflect.ValueOf(ln).Comparable() {
		return "", nil // it is not from Listen, and nobody can tell whose it is
	}
	if slices.Contains(p.served, ln) {
		return "", fmt.Errorf("handoff: serve on %v: %w", ln.Addr(), ErrServed)
	}
	p.served = append(p.served, ln)
	return p.names[ln], nil
}

// run has nothing be added any more.
func (p *parts) run() {
	p.running = true
	p.resources.Add(&p.funcs) // last: what they use begins before
	p.resources.Freeze()
}

// close reports whether it comes before Run, and is the first.
func (p *parts) close() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running || p.closed {
		return false
	}
	p.closed = true
	return true
}

// closeListeners closes the listeners here. Most may be closed already.
func (p *parts) closeListeners() {
	for ln := range p.names {
		ln.Close()
	}
}

func (p *parts) closeSockets() {
	p.closeListeners()
	for _, c := range p.sockets {
		c.Close()
	}
}
