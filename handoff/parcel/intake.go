package parcel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
)

// A Delivery is what a manager passes on to a running generation.
type Delivery struct {
	// ID is what Taken is called with.
	ID uint64

	// Name is what it was stored under, FDNAME= of sd_notify(3).
	Name string

	// Files are the receiver's, to close. They are close-on-exec.
	Files []*os.File

	// Owned says that this is no delivery but the word that no predecessor holds
	// anything any more. What a later successor leaves behind may come after it.
	Owned bool

	// Quiesce says that the service leaves a load balancer's rotation, Rejoin that
	// it stays: no deliveries either.
	Quiesce, Rejoin bool

	// Release, where it is not 0, says that this is no delivery but the order to
	// give up what only one generation may hold, and to stay able to go on.
	// Intake.Released is called with it. Only a generation that has said that it
	// can do that (Resumable) gets it.
	Release uint64

	// Resume, where it is not 0, says that this is no delivery but the order to go
	// on as before the Release of that number, which may still be under way: the
	// successor has failed. What this generation had stored, and the successor had
	// not taken, comes by deliveries, before this or later. Intake.Resumed is called
	// with it.
	Resume uint64
}

// Resumable is the assignment that a generation which minds Delivery.Release and
// Delivery.Resume sends in one notification with READY=1 (sd_notify(3)).
const Resumable = "X_HANDOFF_RESUMABLE"

// An Intake is a generation's end of HANDOFF_SOCKET: what is stored for it
// after its start arrives there.
type Intake struct {
	e   *endpoint
	buf []byte
	mu  sync.Mutex // held while sending
}

// OpenIntake takes the socket that HANDOFF_SOCKET names, makes it close-on-exec,
// and unsets the variable, so that no child takes it for its own. Without the
// variable it returns (nil, nil): there is nobody who delivers. Elsewhere than
// on Linux the error is errors.ErrUnsupported where the variable is set.
func OpenIntake() (*Intake, error) {
	value, ok := os.LookupEnv(SocketEnv)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(SocketEnv)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("parcel: %s=%q: want the number of a descriptor above 2", SocketEnv, value)
	}
	e, err := inheritEndpoint(fd)
	if err != nil {
		return nil, fmt.Errorf("parcel: %s (fd %d): %w", SocketEnv, fd, err)
	}
	return newIntake(e), nil
}

// NewIntake works on a copy of f, a generation's end of HANDOFF_SOCKET, which
// stays the caller's.
func NewIntake(f *os.File) (*Intake, error) {
	e, err := dupEndpoint(f)
	if err != nil {
		return nil, fmt.Errorf("parcel: %s: %w", f.Name(), err)
	}
	return newIntake(e), nil
}

func newIntake(e *endpoint) *Intake {
	return &Intake{e: e, buf: make([]byte, maxDelivery)}
}

// Next waits for the next delivery until ctx ends, and returns them in the order
// in which the manager sent them. Only one goroutine may call it at a time.
//
// It returns io.EOF when the manager has gone, and ErrClosed after Close.
// ErrFormat, ErrVersion and a *LimitError leave the message where it is, as
// Reader.Receive does.
func (in *Intake) Next(ctx context.Context) (*Delivery, error) {
	for {
		var n note
		fds, err := in.e.receive(ctx, in.buf, func(m []byte, fds []int) (err error) {
			n, err = parseNote(m, len(fds))
			return err
		})
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, in.errorf("next delivery", err)
		}
		if n.id == 0 {
			closeAll(fds) // of a message that says nothing known
			if n.owned || n.quiesce || n.rejoin || n.release != 0 || n.resume != 0 {
				return &Delivery{Owned: n.owned, Quiesce: n.quiesce, Rejoin: n.rejoin, Release: n.release, Resume: n.resume}, nil
			}
			continue
		}
		d := &Delivery{ID: n.id, Name: n.name}
		for _, fd := range fds {
			d.Files = append(d.Files, os.NewFile(uintptr(fd), n.name))
		}
		return d, nil
	}
}

// Taken tells the manager that the generation has what delivery id brought, and
// that the manager may close its copies. Until then the manager keeps them, for
// the next generation if this one dies. For a parcel that means: its END record
// has been received.
func (in *Intake) Taken(ctx context.Context, id uint64) error {
	return in.reply(ctx, "acknowledge delivery", id, Reply{Taken: id})
}

// Released tells the manager that the Release of that number was carried out: all
// that only one generation may hold is in parcels that were stored and have their
// END record.
func (in *Intake) Released(ctx context.Context, release uint64) error {
	return in.reply(ctx, "answer release", release, Reply{Released: release})
}

// Resumed tells the manager that the Resume of that number was carried out: this
// generation serves again.
func (in *Intake) Resumed(ctx context.Context, resume uint64) error {
	return in.reply(ctx, "answer resume", resume, Reply{Resumed: resume})
}

func (in *Intake) reply(ctx context.Context, op string, number uint64, r Reply) error {
	if number == 0 {
		return in.errorf(op+" 0", errors.New("want a number above 0"))
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.e.sendNote(ctx, note{Reply: r}, nil); err != nil {
		return in.errorf(fmt.Sprintf("%s %d", op, number), err)
	}
	return nil
}

// Close closes the socket; a Next that waits returns ErrClosed. The manager
// takes it that nothing more will be taken.
func (in *Intake) Close() error { return in.e.close() }

func (in *Intake) errorf(op string, err error) error {
	return fmt.Errorf("parcel: %s: %s: %w", SocketEnv, op, err)
}
