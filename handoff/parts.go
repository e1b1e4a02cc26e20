package handoff

import (
	"context"
	"net"
	"net/http"
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
	err = ErrRunning
	if !p.running && !p.closed {
		err = f(p)
	}
	later = p.later
	p.later = nil
	return later, err
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
