package systemdtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// maxDialers bounds the threads of a machine's network. A thread is busy for as
// long as its connect waits.
const maxDialers = 256

// network runs functions on threads that are in a machine's network namespace.
type network struct {
	ns    *os.File
	tasks chan func()
	slots chan struct{} // one for each thread there may be
	wg    sync.WaitGroup
}

func openNetwork(pid int) (*network, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	return &network{ns: ns, tasks: make(chan func()), slots: make(chan struct{}, maxDialers)}, nil
}

// do runs f on a thread inside the namespace and waits for it.
func (n *network) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	task := func() { defer close(done); f() }
	select {
	case n.tasks <- task: // a thread was idle
	default:
		select {
		case n.tasks <- task:
		case n.slots <- struct{}{}:
			if err := n.grow(task); err != nil {
				<-n.slots
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-done
	return nil
}

// grow starts one more thread, which begins with task.
func (n *network) grow(task func()) error {
	entered := make(chan error)
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		// Never unlocked: the thread is in a foreign namespace and ends
		// with this goroutine.
		runtime.LockOSThread()
		err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET)
		entered <- err
		if err != nil {
			return
		}
		task()
		for task := range n.tasks {
			task()
		}
	}()
	if err := <-entered; err != nil {
		return fmt.Errorf("enter the machine's network: %w", err)
	}
	return nil
}

func (n *network) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if e := n.do(ctx, func() {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
	}); e != nil {
		return nil, e
	}
	return conn, err
}

// close ends the threads. Nobody may dial any more.
func (n *network) close() {
	close(n.tasks)
	n.wg.Wait()
	n.ns.Close()
}
