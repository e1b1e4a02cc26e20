package handoff

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/notify"
)

// Options of a Service. The zero value works.
type Options struct {
	// DrainTimeout is how long work under way may take after Run was told to stop
	// (and after LameDuck), before it is cut; 0 is 30 s. TimeoutStopSec= need not
	// match: the manager is asked for more time while the drain goes on.
	DrainTimeout time.Duration

	// LameDuck is how long the service goes on accepting after it was told to
	// stop, with Ready negative, so that balancers turn away from it; 0 is not at
	// all.
	LameDuck time.Duration

	// ReloadTimeout bounds the callbacks of one reload together; 0 is 30 s.
	ReloadTimeout time.Duration

	// Healthy is asked before every sign of life, where the unit says
	// WatchdogSec=; see notify.Notifier.Watchdog. nil is always well.
	Healthy func(context.Context) error

	// Report is told what the service met and went on from: something inherited
	// that nobody knows (ErrUnknown), a state of a version that cannot be read
	// (ErrStateVersion), a limit that was reached (*parcel.LimitError), something
	// that could not be kept (ErrLost). Each error says what and where, and is fit
	// for a log. It is called by one goroutine at a time and must not call the
	// Service. nil: nobody is told.
	Report func(error)

	// MaxConns is the most connections that one Carrier serves at once. Fresh
	// ones beyond it wait in the listen queue, carried ones in the parcel. 0 is no
	// limit but that of open files.
	MaxConns int

	// KeepConns is how long carried connections that no Carrier of this program
	// goes by the name of wait in the store for a later generation. 0: they are
	// closed at once.
	KeepConns time.Duration

	// KeepStates is how long a state that this program cannot read waits in the
	// store for a later generation; 0 is 24 hours.
	KeepStates time.Duration
}

// A Service is one generation of the program: what it listens on, serves, keeps
// and carries. Everything it consists of is said between Open and Run, by one
// goroutine; the other methods may be called by any. It is used once.
type Service struct{}

// Open begins a generation. It takes over what the process inherited
// (sd_listen_fds(3)), and the sockets to the manager that NOTIFY_SOCKET and
// HANDOFF_SOCKET name; it unsets all these variables. Call it once, early in
// main. Where no manager is there the Service is a plain server.
//
// What was opened is closed by Run. A Service that will not run is closed by
// Close.
//
// An error quotes the variable that makes no sense, or says which socket cannot
// be used.
func Open(ctx context.Context, o Options) (*Service, error) { return nil, errors.ErrUnsupported }

// Close closes everything that was opened for a Service that does not run. After
// Run it does nothing.
func (s *Service) Close() error { return errors.ErrUnsupported }

// Inherited returns what the process inherited. What Listen and ListenPacket do
// not take, such as a file of OpenFile=, the program takes from it before Run,
// which removes from the store and closes what nobody took, and reports it.
func (s *Service) Inherited() *activation.Set { return nil }

// Notifier returns the connection to the manager, for a STATUS= of the
// program's own; nil, which does nothing, where there is none. READY=1,
// RELOADING=1, STOPPING=1, WATCHDOG=1 and the names beginning with "handoff." are
// the Service's.
func (s *Service) Notifier() *notify.Notifier { return nil }

// Generation returns the number of this generation, from 1 upward for the life
// of the unit: HANDOFF_GENERATION where that is set, else one more than the
// greatest in what was inherited.
func (s *Service) Generation() uint64 { return 0 }

// Listen returns the listener called name: that of the socket unit, else the one
// that the generation before left in the fd store, else it binds address as
// net.Listen does, and Run leaves it in the store for the generations to come.
// So a service without a socket unit keeps its port, too.
//
// name is the FileDescriptorName= of the socket unit. Its address wins over
// address, but a stored listener is bound elsewhere than address says only where
// that leaves it open (port 0); otherwise it is removed, and address is bound.
// A stale Unix socket at address is replaced.
//
// Give the listener to Serve, ServeTLS or Carrier.Serve as it is: a wrapped one
// is served, but connections that are not of package net cannot be carried.
// The Service closes it; closing it before only stops accepting on it here.
//
// The errors satisfy errors.Is with those of activation.Set.Listener other than
// ErrNoName and ErrNotActivated, with ErrRunning, and with ErrDuplicate.
func (s *Service) Listen(name, network, address string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

// ListenPacket returns the datagram socket called name, found or bound as Listen
// does; it may have the name of a listener.
//
// One generation at a time reads from it. ReadFrom waits until Owned; when this
// generation drains it returns an error that satisfies errors.Is with ErrDraining
// and net.ErrClosed. A datagram that it returned is this generation's; what waits
// in the kernel is the next one's. WriteTo works at all times. Read in a function
// that was given to Go, which the saving of states waits for:
//
//	svc.Go(func(ctx context.Context) error {
//		buf := make([]byte, 64<<10)
//		for {
//			n, from, err := conn.ReadFrom(buf)
//			if errors.Is(err, handoff.ErrDraining) {
//				return nil
//			}
//			if err != nil {
//				return err
//			}
//			count(buf[:n], from)
//		}
//	})
//
// The connection has SyscallConn, and SetReadBuffer and SetWriteBuffer where the
// socket has. What reads past ReadFrom must mind Owned and the context by itself.
func (s *Service) ListenPacket(name, network, address string) (net.PacketConn, error) {
	return nil, errors.ErrUnsupported
}

// A Server is what Serve runs: *http.Server is one.
type Server interface {
	// Serve accepts on the listener until that is closed or Shutdown is called,
	// and returns an error always.
	Serve(net.Listener) error

	// Shutdown stops accepting, and returns when the work under way is finished,
	// or the context ends.
	Shutdown(context.Context) error
}

// Serve has srv serve ln while Run runs. It may be called for several listeners
// with the same srv.
//
// The connections of an *http.Server that stand between two requests, or in one
// that no handler has seen, go on in the next generation, with all bytes, when ln
// is from Listen and it serves a listener of that name in the same way. Its
// Handler, ConnState, ConnContext and BaseContext are wrapped: set them before.
// Hijacked connections are the program's, see Carrier.Go. Any other server is
// told to Shutdown when the drain begins.
//
// When srv stops serving of its own accord Run drains, and returns its error.
func (s *Service) Serve(ln net.Listener, srv Server) error { return errors.ErrUnsupported }

// ServeTLS is Serve for TLS, with HTTP/2 where srv does not rule it out.
// srv.TLSConfig has a certificate, or a way to get one.
//
// TLS connections are not carried: a connection is told to close by its next
// answer (HTTP/1) or by GOAWAY (HTTP/2). The session ticket keys are carried, so
// that a client's next handshake resumes: they are the Service's, which makes a
// new one every day and accepts those of a week. A config whose WrapSession
// is set keeps its own way.
func (s *Service) ServeTLS(ln net.Listener, srv *http.Server) error { return errors.ErrUnsupported }

// Go runs f from READY until the drain: its context then ends, with the cause
// ErrDraining, and it returns. States are saved only after that. An error makes
// Run drain and return it. Owned tells when f may do what only one generation
// may.
func (s *Service) Go(f func(context.Context) error) error { return errors.ErrUnsupported }

// State is something that the program keeps from generation to generation.
type State struct {
	// Version is that of what Save returns.
	Version uint32

	// Accepts tells whether Load can read a version. It is asked before READY
	// where a state is there by then. nil: only Version.
	Accepts func(version uint32) bool

	// Save returns the state, when nothing in this generation can change it any
	// more: after the servers, the carriers' connections and the functions of Go
	// have ended. It is called only if Load has been, or there was nothing to load.
	// Its context ends after Options.DrainTimeout.
	Save func(context.Context) ([]byte, error)

	// Load takes the state over. It is called at most once, after READY and before
	// Owned. b is Load's to keep. With a reload that is when the generation
	// before has drained: until then requests and connections may come already.
	//
	// After an error, and after a crash in it, the state waits for the next
	// generation as it was. An error makes Run drain and return it: where the
	// program would rather go on without, it returns nil.
	Load func(ctx context.Context, version uint32, b []byte) error

	// Unreadable says what becomes of a state that Accepts refuses.
	Unreadable Unreadable
}

// Unreadable says what becomes of a state of a version that the program cannot
// read. Options.Report is told in each case, by ErrStateVersion.
type Unreadable int

const (
	// Refuse: during a reload, where the generation before can still go on, Run
	// returns ErrStateVersion before READY. After a restart as Keep.
	Refuse Unreadable = iota

	// Keep: the program starts without it. It waits in the store for a later
	// generation that can read it, for Options.KeepStates.
	Keep

	// Drop: the program starts without it, and it is gone.
	Drop
)

// State has st kept under name.
func (s *Service) State(name string, st State) error { return errors.ErrUnsupported }

// A ConnFunc serves one connection, in a goroutine of its own, to its end. One
// function serves fresh connections, for which state is nil (or what Go was
// given), and those of the generation before, for which state is what its
// ConnFunc returned. It can be tested with net.Pipe.
//
// When ctx ends with the cause ErrDraining it returns what the successor needs to
// go on and ErrCarry: all that it has read from c and not dealt with, and all
// that it has still to write. Then a Read that waits returns
// os.ErrDeadlineExceeded, as does every one after it; a Write that waits does so
// a little later, with the number of bytes that were written. Nothing is lost by
// that, but what was not written must be in carry. Where the cause is
// ErrNoSuccessor too, there is time to say goodbye.
//
// c is closed after it returned, and with ErrCarry it goes on elsewhere. c is a
// *net.TCPConn or *net.UnixConn where the connection was carried, and what Accept
// returned or Go was given otherwise.
type ConnFunc func(ctx context.Context, c net.Conn, state []byte) (carry []byte, err error)

// Carry has the connections of a kind served by one function, in this generation
// and in the next, where a Carrier of the same name goes on with them.
func (s *Service) Carry(name string, serve ConnFunc) (*Carrier, error) {
	return nil, errors.ErrUnsupported
}

// A Carrier serves connections by a ConnFunc, and carries them on.
type Carrier struct{}

// Serve has the connections that ln accepts served while Run runs.
func (k *Carrier) Serve(ln net.Listener) error { return errors.ErrUnsupported }

// Go serves c, which it owns from now on and closes, also when it fails. It is
// for connections that come by another way, such as those that an http.Handler
// has hijacked; state is given to the ConnFunc. It returns at once; once the drain
// has begun with ErrDraining.
//
// c can be carried if it is a *net.TCPConn or *net.UnixConn, a connection hijacked
// from a server of this Service, or anything else with SyscallConn.
func (k *Carrier) Go(c net.Conn, state []byte) error { return errors.ErrUnsupported }

// OnReload has f called on SIGHUP, in the order of registration. The manager is
// told RELOADING=1 before, READY=1 after, and the verdict in STATUS=. f checks the
// new configuration and only then applies it: at an error, which ends the
// reload, the old one stays in force. Its context ends after
// Options.ReloadTimeout, or when the service is to stop.
func (s *Service) OnReload(f func(context.Context) error) {}

// Owned is closed once no generation before this one holds anything that only
// one may hold, and what it left has been taken over: the states are loaded.
func (s *Service) Owned() <-chan struct{} { return nil }

// Ready reports whether balancers should send clients here: Run serves, and was
// not told to stop.
func (s *Service) Ready() bool { return false }

// ReadyHandler answers a balancer's question with status 200 while Ready, else
// with 503.
func (s *Service) ReadyHandler() http.Handler { return nil }

// Stop makes Run drain, as SIGTERM does.
func (s *Service) Stop() {}

// Counters says what became of connections and states in this generation.
type Counters struct {
	CarriedIn  uint64 // connections taken over from the generation before
	CarriedOut uint64 // connections left for the next generation
	Closed     uint64 // connections closed because of the drain, that could not go on
	Refused    uint64 // connections and states that arrived and could not be taken
	StatesIn   uint64 // states loaded
	StatesOut  uint64 // states saved

	Drain time.Duration // how long the drain took, or has taken so far
}

// Counters returns the counters as they are now.
func (s *Service) Counters() Counters { return Counters{} }

// Run serves until it is told to stop, drains, and returns.
//
// It serves every listener, tells the manager READY=1 (sd_notify(3)), and takes
// over what the generation before left. From READY on it takes the signals
// SIGTERM, SIGINT and SIGHUP: SIGHUP reloads; SIGTERM, the first SIGINT, Stop and
// the end of ctx begin the drain; the second SIGINT ends it early. It answers the
// watchdog.
//
// The drain: STOPPING=1, and Ready is negative; after Options.LameDuck nothing
// more is accepted; work under way is finished, within Options.DrainTimeout;
// connections that can go on, and then the states, are left in parcels with the
// manager, who keeps them for the next generation. Where there is no manager that
// keeps anything, connections are finished and closed.
//
// nil: a clean drain. Otherwise what ended the service, or how much could not be
// finished in time, or why it could not begin. Everything is closed then; the
// Service cannot run again (ErrRunning).
func (s *Service) Run(ctx context.Context) error { return errors.ErrUnsupported }
