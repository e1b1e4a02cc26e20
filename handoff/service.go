package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// A Service is one generation of the program: what it listens on, serves, keeps
// and carries. Everything it consists of is said between Open and Run; the other
// methods may be called at any time. All may be called by several goroutines. It
// runs once.
type Service struct {
	o       Options
	ctx     context.Context // of Open
	set     *activation.Set
	manager *notify.Notifier
	intake  *parcel.Intake // nil where nothing is delivered after the start
	store   *fdstore.Store
	parts   parts
	env     resource.Env // what the resources know of the service

	generation atomic.Uint64
	ready      atomic.Bool            // READY=1 has been sent
	leaving    atomic.Bool            // told to stop
	owned      once                   // see Owned
	stop       once                   // closed by Stop
	period     atomic.Pointer[period] // the present one
}

// A once is a channel that is closed once.
type once struct {
	ch   chan struct{}
	done *sync.Once
}

func newOnce() once { return once{make(chan struct{}), new(sync.Once)} }

// close closes the channel after f, the first time.
func (o once) close(f func()) {
	o.done.Do(func() {
		f()
		close(o.ch)
	})
}

// Open begins a generation. It takes over what the process inherited
// (sd_listen_fds(3)), and the sockets to the manager that NOTIFY_SOCKET and
// HANDOFF_SOCKET name, and unsets all these variables. Call it once, early in
// main. Where there is no manager the Service is a plain server. ctx bounds what
// Listen and ListenPacket do to bind an address.
//
// The caller calls Run or Close. An error quotes the variable that makes no
// sense, or says which socket cannot be used; it may satisfy errors.Is with the
// errors of activation.Inherit, notify.Open and parcel.OpenIntake.
func Open(ctx context.Context, o Options) (*Service, error) {
	set, setErr := activation.Inherit()
	manager, managerErr := notify.Open()
	intake, intakeErr := parcel.OpenIntake()
	generation, generationErr := readGeneration()
	if errors.Is(setErr, activation.ErrNames) {
		setErr = nil // everything is there, under the name Unknown
	}
	if err := errors.Join(setErr, managerErr, intakeErr, generationErr); err != nil {
		set.Close()
		manager.Close()
		if intake != nil {
			intake.Close()
		}
		return nil, fmt.Errorf("handoff: open: %w", err)
	}
	return newService(ctx, o, set, manager, intake, generation), nil
}

func readGeneration() (uint64, error) {
	const variable = protocol.GenerationEnv
	value, ok := os.LookupEnv(variable)
	if !ok {
		return 0, nil
	}
	os.Unsetenv(variable)
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s=%q: want a number above 0", variable, value)
	}
	return n, nil
}

func newService(ctx context.Context, o Options, set *activation.Set, manager *notify.Notifier, intake *parcel.Intake, generation uint64) *Service {
	s := &Service{
		o:       o.withDefaults(),
		ctx:     ctx,
		set:     set,
		manager: manager,
		intake:  intake,
		owned:   newOnce(),
		stop:    newOnce(),
	}
	s.generation.Store(generation)
	reporter := report.New(o.Report)
	s.store = fdstore.New(manager, reporter)
	s.env = resource.Env{
		Report:     reporter,
		Generation: s.generation.Load,
		Leaving:    s.leaving.Load,
		Stores:     s.store.Available,
		Owned:      s.owned.ch,
		Rotation:   new(rotation.Membership),
		Announce:   s.writeManifest,
	}
	s.enter(&period{Period: resource.NewPeriod()})
	s.parts.init(&s.env, s.o)
	return s
}

// Close closes everything that was opened for a Service that does not run. After
// Run has begun it does nothing.
func (s *Service) Close() error {
	if !s.parts.close() {
		return nil
	}
	return s.closeAll()
}

// closeAll closes what the Service still has.
func (s *Service) closeAll() error {
	s.report(s.env.Rotation.End())
	s.parts.closeSockets()
	s.period.Load().End()
	if s.intake != nil {
		s.intake.Close()
	}
	err := s.set.Close()
	if _, unclaimed := errors.AsType[*activation.UnclaimedError](err); unclaimed {
		err = nil // a Service that does not run, or Run has reported it
	}
	return errors.Join(err, s.manager.Close())
}

// change runs f, which adds to what the service consists of.
func (s *Service) change(f func(p *parts) error) error {
	later, err := s.parts.change(f)
	for _, err := range later {
		s.report(err)
	}
	return err
}

// Inherited returns what the process inherited. What Listen and ListenPacket do
// not take, such as a file of OpenFile=, the program takes from it before Run,
// which removes from the store and closes what nobody took, and reports it.
func (s *Service) Inherited() *activation.Set { return s.set }

// Notifier returns the connection to the manager, for the program's own STATUS=
// and the like; nil, which does nothing, where there is none. READY=1,
// RELOADING=1, STOPPING=1, WATCHDOG=1 and the names that begin with "handoff." are
// the Service's. It is closed when Run returns.
func (s *Service) Notifier() *notify.Notifier { return s.manager }

// Generation returns the number of this generation: HANDOFF_GENERATION where the
// manager sets that, else one more than the greatest in what was inherited, and 0
// before Run has found that out. It begins anew when the fd store was emptied.
func (s *Service) Generation() uint64 { return s.generation.Load() }

// Go runs f from READY until the drain: its context then ends, with the cause
// ErrDraining, and it returns. States are saved only after that. An error makes
// Run drain and return it. Owned tells when f may do what only one generation
// may. Where this generation resumes, since its successor has failed, f is called
// again.
func (s *Service) Go(f func(context.Context) error) error {
	return s.change(func(p *parts) error {
		p.funcs.Add(f)
		return nil
	})
}

// OnReload has f called on SIGHUP, in the order of registration. The manager is
// told RELOADING=1 before, READY=1 after, and the verdict in STATUS=. f checks the
// new configuration and only then applies it: at an error, which ends the
// reload, the old one stays in force. Its context ends after
// Options.ReloadTimeout, or when the service is to stop. The reload of an f that does
// not return soon after that has failed, and so has every other until it does.
func (s *Service) OnReload(f func(context.Context) error) error {
	return s.change(func(p *parts) error {
		p.reloads = append(p.reloads, f)
		return nil
	})
}

// Owned is closed once no generation before this one holds anything that only
// one may hold, and what it left has been taken over: the states are loaded. It
// stays open where the drain comes first: wait for Draining as well.
func (s *Service) Owned() <-chan struct{} { return s.owned.ch }

// Draining is closed when the drain begins, after Options.LameDuck: for those who
// wait for something, such as Owned, that will not come any more. Where this
// generation resumes, since its successor has failed, there is another one.
func (s *Service) Draining() <-chan struct{} { return s.period.Load().Finishing.Done() }

// Ready reports whether balancers should send clients here: Run serves, and was
// not told to stop, or to leave the rotation (LeaveRotation).
func (s *Service) Ready() bool { return s.ready.Load() && !s.leaving.Load() && !s.env.Rotation.Left() }

// ReadyHandler answers a balancer's question with status 200 while Ready, else
// with 503.
func (s *Service) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !s.Ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ready\n"))
	})
}

// Stop makes Run drain, as SIGTERM does. It does not wait for it.
func (s *Service) Stop() { s.stop.close(func() {}) }

// maxName is the longest name that leaves room for a prefix in the store.
const maxName = notify.MaxName - len(protocol.ManifestPrefix)

// checkName tells whether name can name something of the service in the store.
func checkName(what, name string) error {
	if err := notify.CheckName(name); err != nil {
		return err
	}
	if name == "" || len(name) > maxName {
		return fmt.Errorf("handoff: %s %q: want a name of 1 to %d bytes", what, name, maxName)
	}
	return nil
}
