package rotation

import (
	"context"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/procnet"
)

// dropSYN drops segments that ask for a connection: SYN without ACK, in the byte of
// the flags, 13 bytes into the TCP header, with which the filter's packet begins.
// Accepted connections inherit it, and it does nothing to them.
var dropSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32},
}

// Applies reports whether c is a TCP socket, which is what this package is for.
func Applies(c syscall.Conn) bool {
	is := false
	err := fd.With(c, func(fd int) error {
		protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		is = err == nil && (protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_MPTCP)
		return nil
	})
	return err == nil && is
}

// Hold has the listener c drop new SYNs. errors.Is finds EPERM where that takes
// CAP_NET_ADMIN, and EOPNOTSUPP for a multipath listener, which takes no filter.
func Hold(c syscall.Conn) error {
	program := unix.SockFprog{Len: uint16(len(dropSYN)), Filter: &dropSYN[0]}
	err := fd.With(c, func(fd int) error {
		return sysErr("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
	})
	return wrap("hold", err)
}

// Shut shuts the listener c down: clients are refused. It takes the filter off,
// too, or they would still be kept waiting.
func Shut(c syscall.Conn) error {
	err := fd.With(c, func(fd int) error {
		own, err := unix.Getsockname(fd)
		if err != nil {
			return sysErr("getsockname", err)
		}
		if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil && err != unix.ENOTCONN {
			return sysErr("shutdown", err)
		}
		// A port that the kernel chose is lost by the shutdown. One that was asked for
		// is not, and the second bind fails.
		if err := unix.Bind(fd, own); err != nil && err != unix.EINVAL {
			return sysErr("bind", err)
		}
		return unhold(fd)
	})
	return wrap("shut", err)
}

// Open undoes Hold and Shut. To a listener that is in the rotation it does nothing.
func Open(c syscall.Conn) error {
	err := fd.With(c, func(fd int) error {
		if err := unhold(fd); err != nil {
			return err
		}
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 1 {
			return sysErr("getsockopt SO_ACCEPTCONN", err)
		}
		// The kernel cuts the backlog to net.core.somaxconn.
		return sysErr("listen", unix.Listen(fd, math.MaxInt32))
	})
	return wrap("open", err)
}

// Held reports whether the listener c drops new SYNs because of Hold.
func Held(c syscall.Conn) (is bool) {
	err := fd.With(c, func(fd int) (err error) {
		is, err = held(fd)
		return err
	})
	return err == nil && is
}

func held(fd int) (bool, error) {
	var attached [64]unix.SockFilter
	n, err := getFilter(fd, attached[:])
	return err == nil && slices.Equal(attached[:min(n, len(attached))], dropSYN), err
}

// unhold takes the filter off, if it is ours.
func unhold(fd int) error {
	if is, err := held(fd); err != nil || !is {
		return err
	}
	return sysErr("setsockopt SO_DETACH_FILTER", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0))
}

// checkEvery is how often Settled looks.
const checkEvery = 20 * time.Millisecond

// Settled waits until the held listeners have had no handshake under way, and nothing
// in their queues, for Least. Where the kernel does not show handshakes
// to this process it can only do that.
func Settled(ctx context.Context, listeners ...syscall.Conn) error {
	return settled(ctx, Least, listeners...)
}

func settled(ctx context.Context, least time.Duration, listeners ...syscall.Conn) error {
	quiet := time.Now() // since when
	ticks := time.NewTicker(checkEvery)
	defer ticks.Stop()
	for {
		queued, err := waiting(listeners)
		if err != nil {
			return wrap("settle", err)
		}
		switch {
		case queued > 0:
			quiet = time.Now()
		case time.Since(quiet) >= least && ctx.Err() == nil: // a busy machine may come here late
			return nil
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return fmt.Errorf("rotation: settle: %d connections wait in the queues: %w", queued, context.Cause(ctx))
		}
	}
}

// waiting counts connections that are in a queue or a handshake.
func waiting(listeners []syscall.Conn) (int, error) {
	count := 0
	ports := make(map[int]bool)
	for _, c := range listeners {
		err := fd.With(c, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				return sysErr("getsockopt TCP_INFO", err)
			}
			if info.State == procnet.TCPListen {
				count += int(info.Unacked) // of a listener: the length of its queue
			}
			name, err := unix.Getsockname(fd)
			switch name := name.(type) {
			case *unix.SockaddrInet4:
				ports[name.Port] = true
			case *unix.SockaddrInet6:
				ports[name.Port] = true
			}
			return sysErr("getsockname", err)
		})
		if err != nil {
			return 0, err
		}
	}
	return count + handshakes(ports), nil
}

func wrap(op string, err error) error {
	if err != nil {
		err = fmt.Errorf("rotation: %s: %w", op, err)
	}
	return err
}
