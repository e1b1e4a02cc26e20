package keepalive

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A conn stands between net/http and an accepted connection. net/http reads
// from it in one goroutine at a time; what its mutex guards is changed by that
// goroutine, by the server's hooks and by Drain.
type conn struct {
	net.Conn // as it was accepted or adopted
	t        *Tracker
	ln       net.Listener // that it came in by, as its owner knows it

	// taken is set once the connection belongs to the next server. From then
	// on nothing that net/http does here reaches it.
	taken atomic.Bool

	// These are set without the mutex, which a request is to take no more often
	// than it must.
	state    atomic.Int32             // an http.ConnState: as net/http reported it last
	deadline deadline                 // for reading, as net/http set it
	adoption atomic.Pointer[adoption] // until the first request on an adopted connection is over

	mu sync.Mutex
	framer
	held  []byte // read ahead of what net/http may see
	store *store // that held lies in, if it came from there
	size  int    // of net/http's first Read
	check bool   // the next Read is the first one since net/http went idle

	partial  bool // something was read since net/http went idle
	foreign  bool // hijacked or HTTP/2: no longer ours to judge
	finish   bool // not to be carried
	answered bool // the handler is done with what is the last request
	closed   bool // by net/http
	linger   bool // but only half

	reading bool      // net/http waits in Read
	nudged  bool      // it was woken to look around
	looked  bool      // the last look before an idle connection is closed was taken
	until   time.Time // when Drain closes the idle connection
	armed   time.Time // the read deadline below, where it is not net/http's; else zero
}

// Read gives net/http no byte beyond the end of the message that it reads. In
// here, and nowhere else, it is decided that a connection is carried on.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verify(len(p))
	for {
		if c.taken.Load() {
			return 0, errTaken
		}
		d := c.t.drain.Load()
		if d != nil && d.over.Load() && !c.foreign {
			return 0, net.ErrClosed // also where Close did not find it
		}
		if c.carriable(d) {
			c.taken.Store(true)
			c.mu.Unlock()
			c.t.carry(d, c)
			c.mu.Lock()
			return 0, errTaken
		}
		p := p[:c.want(len(p))]
		if len(c.held) > 0 {
			return c.unhold(p), nil
		}
		c.arm(d)
		c.reading = true
		c.mu.Unlock()
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		c.reading = false
		nudged := c.nudged
		c.nudged = false
		if n > 0 {
			if n = c.received(p[:n]); n > 0 {
				return n, nil
			}
			continue
		}
		if again := (nudged || c.lookAgain()) && isTimeout(err); !again {
			return 0, err
		}
	}
}

// verify checks, at the first Read since net/http went idle, that its
// bufio.Reader holds what it was given of the next request and no more: then it
// asks for as much as it asked for at first, less that. This leans on how bufio
// fills its buffer; where it does not hold the connection is finished here.
func (c *conn) verify(size int) {
	if c.size == 0 {
		c.size = size
		if n := c.t.readSize; n > 0 {
			c.size = n
		}
	}
	if c.check {
		c.check = false
		if size != c.size-len(c.head) {
			c.lose()
		}
	}
}

// unhold moves bytes held to p.
func (c *conn) unhold(p []byte) int {
	n := c.admit(p[:copy(p, c.held)])
	if c.held = c.held[n:]; len(c.held) == 0 {
		c.held = nil
		if c.store != nil {
			stores.Put(c.store)
			c.store = nil
		}
	}
	return n
}

// hold keeps p, which must not be empty, for later Reads. Nothing is held yet.
func (c *conn) hold(p []byte) {
	if len(p) > len(c.store) {
		c.held = bytes.Clone(p)
		return
	}
	c.store = stores.Get().(*store)
	c.held = c.store[:copy(c.store[:], p)]
}

// A store is as large as the buffer that net/http reads into. A body that comes
// with its header is held in one, for as long as it takes to start the handler.
type store [4096]byte

var stores = sync.Pool{New: func() any { return new(store) }}

// received holds back what net/http may not see yet of p, which was just read.
func (c *conn) received(p []byte) int {
	c.partial = true
	c.until = time.Time{}
	if a := c.adoption.Load(); a != nil {
		if a.waiting {
			a.begin(c)
		}
		if c.between() {
			p = p[:copy(p, a.trim(p))]
			if len(p) == 0 {
				return 0
			}
		}
	}
	n := c.admit(p)
	if n < len(p) {
		c.hold(p[n:])
	}
	return n
}

// admit moves the framer over p and returns how much of it net/http may see.
func (c *conn) admit(p []byte) int {
	if !c.t.preface || c.phase != phaseHead {
		return c.advance(p)
	}
	head := c.head
	n := c.advance(p)
	if c.phase == phaseFraming && len(head)+n == len(http2Preface) && string(head)+string(p[:n]) == http2Preface {
		c.release()
		c.t.becameHTTP2(c)
	}
	return n
}

// release leaves the connection to who has it now. The caller holds c.mu.
func (c *conn) release() {
	c.lose()
	c.foreign = true
}

// http2Preface is how an HTTP/2 connection in the clear begins, up to what
// looks like the end of a header (RFC 9113, section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\n"

// carriable reports whether the connection can go to the next server as it is:
// it stands in a request that no handler has seen, or between two.
func (c *conn) carriable(d *drain) bool {
	return d != nil && d.take != nil && c.phase == phaseHead && !c.finish && !c.closed
}

// quiet reports whether no request is on its way, as far as one can see.
func (c *conn) quiet() bool {
	if c.phase != phaseOpaque {
		return c.between()
	}
	s := http.ConnState(c.state.Load())
	return !c.foreign && (s == http.StateNew || s == http.StateIdle && !c.partial)
}

// begin is called when the handler starts. It reports whether the answer must
// say that the connection ends with it.
func (c *conn) begin(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.framer.begin(r)
	d := c.t.drain.Load()
	if d == nil || d.take != nil && c.phase != phaseOpaque && !c.finish {
		return false
	}
	if c.foreign {
		return r.ProtoMajor == 2 // net/http makes a GOAWAY of it
	}
	if r.Header.Get("Upgrade") != "" {
		return false // the answer's Connection header has other things to say
	}
	// A request that is here already is answered too, but not without end.
	pipelined := len(c.head) > 0 || r.ContentLength >= 0 && int64(len(c.held)) > r.ContentLength
	return !pipelined || time.Since(d.since) > d.grace
}

// end is called when the handler is done with the last request.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = !c.foreign
}

// setState is called when net/http reports a new state of the connection. It
// returns the one before.
func (c *conn) setState(s http.ConnState) (before http.ConnState) {
	before = http.ConnState(c.state.Swap(int32(s)))
	if s != http.StateIdle && s != http.StateHijacked {
		return before
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == http.StateHijacked {
		c.release()
	}
	if !c.foreign {
		c.partial = false
		c.idle()
		c.check = c.phase == phaseHead
		c.adoption.Store(nil)
	}
	return before
}

// becomeHTTP2 leaves the connection to net/http, whose Shutdown knows how to end
// it.
func (c *conn) becomeHTTP2() {
	c.mu.Lock()
	c.release()
	c.mu.Unlock()
	c.t.becameHTTP2(c)
}

// rest is what was read of a request that no handler has seen.
func (c *conn) rest() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(c.head, c.held...)
}
