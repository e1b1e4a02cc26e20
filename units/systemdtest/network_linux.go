package systemdtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// maxDialers bounds the threads in one machine's network. A thread is busy for
// as long as its connect waits.
const maxDialers = 256

// network runs functions on threads that have entered a machine's network
// namespace. A socket belongs to the namespace of the thread that makes it.
type network struct {
	ns    *os.File
	tasks chan func()
	slots chan struct{}   // holds one for each thread
	ctx   context.Context // ends when the network closes
	stop  context.CancelFunc
}

func openNetwork(pid int) (*network, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	n := &network{ns: ns, tasks: make(chan func()), slots: make(chan struct{}, maxDialers)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n, nil
}

// do runs f on a thread of the network and waits for it. Once started, f runs
// to its end.
func (n *network) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	task := func() { defer close(done); f() }
	select {
	case n.tasks <- task: // a thread was idle
		<-done
		return nil
	default:
	}
	select {
	case n.tasks <- task:
	case n.slots <- struct{}{}:
		entered := make(chan error)
		go n.serve(task, entered)
		if err := <-entered; err != nil {
			return fmt.Errorf("enter the machine's network: %w", err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-n.ctx.Done():
		return net.ErrClosed
	}
	<-done
	return nil
}

// serve makes its thread one of the network's and runs tasks, the given one
// first. The thread is never unlocked: it ends with the goroutine, and no other
// goroutine ever runs in the machine's network by mistake.
func (n *network) serve(task func(), entered chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread does not end, and /proc/self/net is its network's.
		// Hold it until another goroutine has another thread.
		other := make(chan error)
		go n.serve(task, other)
		err := <-other
		runtime.UnlockOSThread()
		entered <- err
		return
	}
	defer func() { <-n.slots }()
	err := n.ctx.Err()
	if err == nil {
		err = unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET)
	}
	entered <- err
	if err != nil {
		return
	}
	task()
	for {
		select {
		case task := <-n.tasks:
			task()
		case <-n.ctx.Done():
			return
		}
	}
}

// dial connects from inside.
func (n *network) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if e := n.do(ctx, func() {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
	}); e != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: e}
	}
	return conn, err
}

// listen binds inside.
func (n *network) listen(ctx context.Context, network, address string) (ln net.Listener, err error) {
	if e := n.do(ctx, func() {
		var c net.ListenConfig
		ln, err = c.Listen(ctx, network, address)
	}); e != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: e}
	}
	return ln, err
}

// close ends dials and threads, and returns when they are gone.
func (n *network) close() {
	n.stop()
	for range maxDialers {
		n.slots <- struct{}{}
	}
	n.ns.Close()
}

// dialPath connects to a Unix socket of the file system.
func dialPath(ctx context.Context, network, path string) (net.Conn, error) {
	var d net.Dialer
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		return d.DialContext(ctx, network, path)
	}
	// Too long for an address (unix(7)), but the kernel finds it below an
	// open folder.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	defer dir.Close()
	return d.DialContext(ctx, network, fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
