package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DefaultTimeout bounds a call whose context has no deadline.
const DefaultTimeout = 5 * time.Second

// Options says where the manager is found. The zero value reads the process's
// environment and unsets what it read.
type Options struct {
	// Environ is read in place of the process's environment, as KEY=VALUE, and
	// nothing is unset. With os.Environ() the variables stay for the process's
	// children, which then speak to the same manager.
	Environ []string
	// Timeout bounds a call whose context has no deadline; 0 means
	// DefaultTimeout.
	Timeout time.Duration
}

// variables are what a manager sets for the process it watches. They are meant
// for that process alone: a child that found them would report itself ready,
// stopping or alive in its parent's name.
var variables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"}

// errFull: the manager's queue is full and the call was not to wait.
var errFull = errors.New("the queue is full")

// transport carries marshalled messages to the manager.
type transport interface {
	// send passes one message with its descriptors. Without wait it returns
	// errFull rather than block; with wait it blocks until ctx ends.
	send(ctx context.Context, wait bool, payload []byte, fds []int) error
	Close() error
}

// A Notifier sends messages to the manager of this process. Its methods may be
// called at the same time by several goroutines, and on a nil *Notifier, where
// they do nothing and return nil.
//
// A send that cannot go at once waits until its context ends, or for
// Options.Timeout if that has no deadline. The errors of all methods satisfy
// errors.Is with ErrGone, ErrBlocked (beside the context's error), ErrTooLarge,
// ErrTooManyFiles, ErrInvalid, and net.ErrClosed after Close. A nil error means
// that the manager's socket has taken the message: the manager never says what
// it made of it, see Barrier.
type Notifier struct {
	environ  []string // as Environ returns them
	timeout  time.Duration
	watchdog watchdog
	storeMax int

	life context.Context // ends with Close
	end  context.CancelFunc

	turn   chan struct{} // holds one token while a goroutine uses what follows
	conn   transport
	buf    []byte
	closed bool

	status status
}

// Open connects to the manager that NOTIFY_SOCKET names, and unsets it with
// WATCHDOG_USEC, WATCHDOG_PID and FDSTORE, so that no child of this process finds
// them. Call it once, early. Where no manager is named it returns nil and no
// error. A socket that is named but cannot be used is an error, with a nil
// *Notifier: a program that goes on with it runs unmanaged.
func Open() (*Notifier, error) { return Options{}.Open() }

// Open is the function Open with options.
func (o Options) Open() (*Notifier, error) {
	env, found := o.read()
	if env["NOTIFY_SOCKET"] == "" {
		return nil, nil
	}
	addr, err := parseAddress(env["NOTIFY_SOCKET"])
	if err != nil {
		return nil, fmt.Errorf("notify: NOTIFY_SOCKET: %w", err)
	}
	conn, err := dial(addr)
	if err != nil {
		return nil, fmt.Errorf("notify: NOTIFY_SOCKET: %w", err)
	}
	n := newNotifier(conn, o.Timeout)
	n.environ = found
	n.watchdog = readWatchdog(env)
	if limit, err := strconv.ParseUint(env["FDSTORE"], 10, 31); err == nil {
		n.storeMax = int(limit)
	}
	return n, nil
}

// read takes the manager's variables from the environment: by name, and as they
// stood there.
func (o Options) read() (env map[string]string, found []string) {
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
		for _, key := range variables {
			os.Unsetenv(key)
		}
	}
	env = map[string]string{}
	for _, assignment := range environ {
		key, value, _ := strings.Cut(assignment, "=")
		if slices.Contains(variables, key) {
			env[key] = value
			found = append(found, assignment)
		}
	}
	return env, found
}

func newNotifier(c transport, timeout time.Duration) *Notifier {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	n := &Notifier{conn: c, timeout: timeout, storeMax: -1, turn: make(chan struct{}, 1)}
	n.life, n.end = context.WithCancel(context.Background())
	return n
}

// Managed reports whether there is a manager.
func (n *Notifier) Managed() bool { return n != nil }

// Environ returns the variables that Open read, as KEY=VALUE: for a process that
// takes this one's place by execve(2).
func (n *Notifier) Environ() []string {
	if n == nil {
		return nil
	}
	return slices.Clone(n.environ)
}

// StoreLimit returns how many descriptors the manager's store takes. It is not
// known where the manager does not set FDSTORE, as before systemd v254.
func (n *Notifier) StoreLimit() (limit int, known bool) {
	if n == nil || n.storeMax < 0 {
		return 0, false
	}
	return n.storeMax, true
}

// Send passes fields to the manager in one message. RELOADING=1 without
// MONOTONIC_USEC= is given the current time, without which systemd takes no
// notice of it. Sending the same again allocates nothing.
func (n *Notifier) Send(ctx context.Context, fields ...Field) error {
	return n.deliver(ctx, nil, fields)
}

// SendFiles is Send with descriptors, at most MaxFiles, in order. The manager
// gets duplicates; the caller keeps and closes its files. Anything with a
// descriptor will do, such as *os.File, *net.TCPConn or *net.UnixListener; none
// is switched to blocking mode.
func (n *Notifier) SendFiles(ctx context.Context, files []syscall.Conn, fields ...Field) error {
	if n == nil {
		return nil
	}
	if len(files) > MaxFiles {
		return fmt.Errorf("notify: %w: %d in one message, at most %d are taken", ErrTooManyFiles, len(files), MaxFiles)
	}
	return withDescriptors(files, nil, func(fds []int) error {
		return n.deliver(ctx, fds, fields)
	})
}

// withDescriptors calls f with the descriptors of files, each held open
// meanwhile. It uses SyscallConn, since Fd() would switch the description that
// the manager shares to blocking mode.
func withDescriptors(files []syscall.Conn, fds []int, f func([]int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	if files[0] == nil {
		return fmt.Errorf("notify: file %d: %w: nil", len(fds), ErrInvalid)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return fmt.Errorf("notify: file %d: %w", len(fds), err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) {
		inner = withDescriptors(files[1:], append(fds, int(fd)), f)
	}); err != nil {
		// All that Control can meet is a file closed, and *os.File says so with
		// an error of its own.
		return fmt.Errorf("notify: file %d: %w: %w", len(fds), os.ErrClosed, err)
	}
	return inner
}

// deliver sends a message: at once where that is possible, else after waiting
// until ctx or the default time ends.
func (n *Notifier) deliver(ctx context.Context, fds []int, m Message) error {
	if n == nil {
		return nil
	}
	if n.life.Err() != nil {
		return fmt.Errorf("notify: %w", net.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("notify: send: %w", err)
	}
	err := n.pass(ctx, false, fds, m)
	if err != errFull {
		return err
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	return n.ended(n.pass(ctx, true, fds, m))
}

// bounded has ctx end with Close, and gives it a deadline if it has none.
func (n *Notifier) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if _, ok := ctx.Deadline(); ok {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, n.timeout)
	}
	stop := context.AfterFunc(n.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// ended is the error of a wait that may have been ended by Close.
func (n *Notifier) ended(err error) error {
	if errors.Is(err, ErrBlocked) && n.life.Err() != nil {
		return fmt.Errorf("notify: %w", net.ErrClosed)
	}
	return err
}

// pass takes a turn, and sends what STATUS is due and then the message.
func (n *Notifier) pass(ctx context.Context, wait bool, fds []int, m Message) error {
	if err := n.take(ctx, wait); err != nil {
		return err
	}
	defer n.release()
	if _, ok := m.Get("STATUS"); ok {
		n.status.supersede()
	} else if err := n.flush(ctx, wait); err == errFull {
		return err // anything else the message will meet as well, or it passes
	}
	return n.transmit(ctx, wait, fds, m)
}

// take waits for the turn to use the connection.
func (n *Notifier) take(ctx context.Context, wait bool) error {
	select {
	case n.turn <- struct{}{}:
	default:
		if !wait {
			return errFull
		}
		select {
		case n.turn <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("notify: wait for another send: %w: %w", ErrBlocked, ctx.Err())
		}
	}
	if n.closed {
		n.release()
		return fmt.Errorf("notify: %w", net.ErrClosed)
	}
	return nil
}

func (n *Notifier) release() { <-n.turn }

// transmit sends one message. The caller has the turn.
func (n *Notifier) transmit(ctx context.Context, wait bool, fds []int, m Message) error {
	payload, err := m.Append(n.buf[:0])
	if err == nil && m.Has("RELOADING", "1") {
		if _, ok := m.Get("MONOTONIC_USEC"); !ok {
			payload, err = appendMonotonic(payload)
		}
	}
	if err != nil {
		return err
	}
	n.buf = payload
	return n.conn.send(ctx, wait, payload, fds)
}

// appendMonotonic adds the time that systemd compares with the one at which it
// asked for the reload: an older or missing one leaves the reload hanging.
func appendMonotonic(payload []byte) ([]byte, error) {
	us, err := monotonic()
	if err != nil {
		return payload, fmt.Errorf("notify: read the monotonic clock: %w", err)
	}
	payload = append(payload, "\nMONOTONIC_USEC="...)
	payload = strconv.AppendInt(payload, us, 10)
	if len(payload) > MaxMessage {
		return payload, fmt.Errorf("notify: %w: %d bytes with MONOTONIC_USEC, at most %d are taken", ErrTooLarge, len(payload), MaxMessage)
	}
	return payload, nil
}

// Ready sends READY=1.
func (n *Notifier) Ready(ctx context.Context) error { return n.Send(ctx, Ready()) }

// Reloading sends RELOADING=1 with the time. Send Ready after it on every path.
func (n *Notifier) Reloading(ctx context.Context) error { return n.Send(ctx, Reloading()) }

// Stopping sends STOPPING=1.
func (n *Notifier) Stopping(ctx context.Context) error { return n.Send(ctx, Stopping()) }

// ExtendTimeout asks for d more, from now on, for the start, reload, run time or stop
// that is under way: EXTEND_TIMEOUT_USEC= (v236). A negative d asks for no time at all.
func (n *Notifier) ExtendTimeout(ctx context.Context, d time.Duration) error {
	return n.Send(ctx, Field{"EXTEND_TIMEOUT_USEC", strconv.FormatInt(max(d, 0).Microseconds(), 10)})
}

// Close sends the STATUS that waits, within Options.Timeout, and closes the
// socket. Sends and barriers that wait, and calls after it, return
// net.ErrClosed; a second Close returns nil. Watchdog goes on until its context
// ends, to no effect.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	n.end()
	n.status.stop()
	ctx, cancel := context.WithTimeout(context.Background(), n.timeout)
	defer cancel()
	n.turn <- struct{}{} // whoever holds it has just been woken
	defer n.release()
	if n.closed {
		return nil
	}
	n.closed = true
	return errors.Join(n.flush(ctx, true), n.conn.Close())
}
