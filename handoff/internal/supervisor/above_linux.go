package supervisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/notify"
)

// above is the service manager above. What it is told goes through one goroutine,
// in order, so that a manager that does not read delays no generation.
type above struct {
	n      *notify.Notifier // nil: there is none
	probed chan struct{}    // closed once keeps is known
	keeps  bool             // it has a store for descriptors
	queue  chan func()
	failed func(error)
	over   chan struct{}
}

func newAbove(n *notify.Notifier, failed func(error)) *above {
	a := &above{n: n, probed: make(chan struct{}), queue: make(chan func(), 256), failed: failed, over: make(chan struct{})}
	go func() {
		defer close(a.over)
		for f := range a.queue {
			f()
		}
	}()
	return a
}

// probe finds out whether the manager has a store. Where something came back from
// it, it has.
func (a *above) probe(kept bool) {
	if a.keeps = kept; kept {
		close(a.probed)
		return
	}
	go func() {
		defer close(a.probed)
		var err error
		if a.keeps, err = a.n.Keeps(context.Background()); err != nil {
			a.failed(err)
		}
	}()
}

// known reports whether it is known by now whether the manager has a store.
func (a *above) known() bool {
	select {
	case <-a.probed:
		return true
	default:
		return false
	}
}

// then calls f once everything before was sent.
func (a *above) then(f func()) { a.queue <- f }

// mark returns a channel that is closed when the manager was told all until now.
func (a *above) mark() <-chan struct{} {
	done := make(chan struct{})
	a.then(func() { close(done) })
	return done
}

var errDeaf = errors.New("the manager does not read what it is told")

// tell has f tell the manager something.
func (a *above) tell(f func(ctx context.Context, n *notify.Notifier) error) {
	a.queue <- func() {
		if err := f(context.Background(), a.n); err != nil {
			a.failed(err)
		}
	}
}

func (a *above) send(fields ...notify.Field) {
	a.tell(func(ctx context.Context, n *notify.Notifier) error { return n.Send(ctx, fields...) })
}

func (a *above) status(text string) {
	a.tell(func(_ context.Context, n *notify.Notifier) error { return n.Status(text) })
}

// maxStatus bounds a text for STATUS=.
const maxStatus = 1000

// keep has the manager keep what a generation stored, in addition to this process.
func (a *above) keep(e *entry) {
	// A duplicate, since e may be closed before its turn comes.
	f, err := fd.Duplicate(e.file, e.file.Name())
	if err != nil {
		a.failed(err)
		return
	}
	name := e.above
	a.tell(func(ctx context.Context, n *notify.Notifier) error {
		defer f.Close()
		return n.StoreUnpolled(ctx, name, f)
	})
}

func (a *above) drop(name string) {
	a.tell(func(ctx context.Context, n *notify.Notifier) error { return n.Remove(ctx, name) })
}

// closeTimeout bounds the wait for the manager at the end. systemd reads nothing
// while it reloads itself, for as long as its generators take, to which it gives 90 s;
// and it knows nobody any more who has exited meanwhile.
const closeTimeout = 2 * time.Minute

// close waits, for a limited time, until the manager has processed all that it was
// told.
func (a *above) close() error {
	<-a.probed // has a deadline of its own
	close(a.queue)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	select {
	case <-a.over:
	case <-ctx.Done():
		return errDeaf
	}
	return errors.Join(a.n.Barrier(ctx), a.n.Close())
}

// A memory outlives this process in the manager's store: the number of the last
// generation, and of the last name that was used there. A removal that comes late
// must not meet a new entry of the same name.
type memory struct {
	file *os.File
	last [2]uint64
	kept bool // the manager has it
}

const (
	lastGeneration = iota
	lastName
)

// recall opens the memory that was inherited as f, or makes a new one where f is
// nil.
func recall(f *os.File) (*memory, error) {
	m := &memory{file: f, kept: f != nil}
	if f == nil {
		fd, err := unix.MemfdCreate("handoffd", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("memfd_create", err)
		}
		m.file = os.NewFile(uintptr(fd), aboveState)
		return m, m.write()
	}
	var b [16]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("%s: %w", aboveState, err)
	}
	for i := range m.last {
		m.last[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return m, nil
}

func (m *memory) write() error {
	var b []byte
	for _, n := range m.last {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	_, err := m.file.WriteAt(b, 0)
	return err
}

// name returns a name for e in the manager's store that was never used, or an error
// where the generation's name is too long for that.
func (m *memory) name(e *entry) (string, error) {
	m.last[lastName]++
	if err := m.write(); err != nil {
		return "", err
	}
	name := abovePrefix + strconv.FormatUint(m.last[lastName], 10)
	if e.polled {
		name += polledMark
	}
	name += "." + e.name
	if !activation.ValidName(name) {
		return "", fmt.Errorf("%q is too long a name to outlive this process", e.name)
	}
	return name, nil
}

// ownName returns the generation's name of what the manager keeps for us, and
// whether it is of no use after a hangup.
func ownName(above string) (name string, polled, ok bool) {
	rest, ok := strings.CutPrefix(above, abovePrefix)
	if !ok {
		return "", false, false
	}
	number, name, ok := strings.Cut(rest, ".")
	return name, strings.HasSuffix(number, polledMark), ok
}
