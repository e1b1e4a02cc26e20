package backlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/sockdiag"
)

// A State says how a listener does.
type State struct {
	Name, Address string
	Waiting       int       // clients in the queue
	Since         time.Time // nobody has accepted since then, or for longer; zero: somebody does
}

// Stuck reports whether nobody accepts.
func (s State) Stuck() bool { return !s.Since.IsZero() }

// String is "3 clients wait at 127.0.0.1:80 (web), and nobody has accepted for 12s".
func (s State) String() string {
	clients := "1 client waits"
	if s.Waiting != 1 {
		clients = fmt.Sprintf("%d clients wait", s.Waiting)
	}
	if !s.Stuck() {
		return fmt.Sprintf("clients are accepted at %s (%s)", s.Address, s.Name)
	}
	return fmt.Sprintf("%s at %s (%s), and nobody has accepted for %v", clients, s.Address, s.Name, time.Since(s.Since).Round(time.Second))
}

// Options say when nobody accepts. A field that is 0 has the default given with it.
type Options struct {
	// Pause comes between a client and the first look at the queue; 1 s.
	Pause time.Duration
	// After is how long nobody must have taken a client; 5 s.
	After time.Duration
}

// longestPause is between looks at a listener that is known to be stuck.
const longestPause = 5 * time.Second

// A Watcher watches listeners.
type Watcher struct {
	o          Options
	changed    func(State)
	epoll      *os.File
	listeners  []*listener
	ctx        context.Context
	cancel     context.CancelFunc
	goroutines sync.WaitGroup
}

type listener struct {
	name, address string
	socket        int // a descriptor of its own
	queue         queue
}

// Watch watches those of the files that are TCP or Unix listeners, until Close.
// changed is called, from goroutines of the Watcher, when nobody accepts on one, when
// the number of those that wait has changed since, and when somebody accepts again.
// It must not call Close.
//
// The error says why the kernel cannot be asked: see package sockdiag. A listener of
// another network namespace (PrivateNetwork= of systemd.exec(5)) is never said to be
// stuck.
func Watch(files []activation.NamedFile, o Options, changed func(State)) (*Watcher, error) {
	if o.Pause <= 0 {
		o.Pause = time.Second
	}
	if o.After <= 0 {
		o.After = 5 * time.Second
	}
	if _, err := sockdiag.Sockets(0, sockdiag.Listen); err != nil {
		return nil, err
	}
	n, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(n, true); err != nil { // else package os would wait in a thread of its own
		unix.Close(n)
		return nil, os.NewSyscallError("fcntl", err)
	}
	w := &Watcher{o: o, changed: changed, epoll: os.NewFile(uintptr(n), "epoll")}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for _, f := range files {
		if err := w.add(f); err != nil {
			w.Close()
			return nil, err
		}
	}
	raw, err := w.epoll.SyscallConn()
	if err != nil {
		w.Close()
		return nil, err
	}
	w.goroutines.Go(func() { w.run(raw) })
	return w, nil
}

// add watches f through a bare descriptor: package os would have the runtime of Go
// woken for every client.
func (w *Watcher) add(f activation.NamedFile) error {
	l := &listener{name: f.Name}
	err := fd.With(f.File, func(n int) (err error) {
		l.socket, err = unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	})
	if err != nil {
		return err
	}
	if l.queue, l.address = newQueue(f.File, l.socket); l.queue == nil {
		return unix.Close(l.socket)
	}
	w.listeners = append(w.listeners, l)
	return w.arm(unix.EPOLL_CTL_ADD, len(w.listeners)-1)
}

// arm has the Watcher woken once when a client waits.
func (w *Watcher) arm(op, i int) error {
	return fd.With(w.epoll, func(epoll int) error {
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(i)}
		return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, w.listeners[i].socket, &e))
	})
}

// Close ends the Watcher, and returns when changed is not called any more.
func (w *Watcher) Close() {
	w.cancel()
	w.epoll.Close()
	w.goroutines.Wait()
	for _, l := range w.listeners {
		unix.Close(l.socket)
	}
}

func (w *Watcher) run(raw syscall.RawConn) {
	events := make([]unix.EpollEvent, 16)
	for {
		n := 0
		err := raw.Read(func(epoll uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(epoll), events, 0)
			return n != 0 && !errors.Is(err, unix.EINTR)
		})
		if err != nil || n < 0 {
			return // closed
		}
		for _, e := range events[:n] {
			i := int(e.Fd)
			w.goroutines.Go(func() {
				w.follow(w.listeners[i])
				if w.ctx.Err() == nil {
					w.arm(unix.EPOLL_CTL_MOD, i)
				}
			})
		}
	}
}

// follow looks at the queue of a listener until somebody has taken a client. What
// cannot be looked at counts as taken.
func (w *Watcher) follow(l *listener) {
	state := State{Name: l.name, Address: l.address}
	defer func() {
		if state.Stuck() && w.ctx.Err() == nil {
			w.changed(State{Name: l.name, Address: l.address})
		}
	}()
	if !w.sleep(w.o.Pause) {
		return
	}
	last, err := l.queue.length()
	if err != nil || last == 0 {
		return
	}
	if found, err := l.queue.note(); err != nil || !found {
		return
	}
	noted := time.Now()
	for pause := w.o.Pause; w.sleep(pause); {
		n, err := l.queue.length()
		if err != nil || n == 0 || n < last {
			return
		}
		if taken, err := l.queue.taken(); err != nil || taken {
			return
		}
		last = n
		if time.Since(noted) < w.o.After {
			continue
		}
		if !state.Stuck() || n != state.Waiting {
			state.Waiting, state.Since = n, noted
			w.changed(state)
		}
		pause = min(pause*5/4, max(longestPause, w.o.Pause))
	}
}

// sleep reports whether the Watcher goes on.
func (w *Watcher) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}
