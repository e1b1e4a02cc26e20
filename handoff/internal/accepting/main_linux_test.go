package accepting

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// given is the descriptor of the socket that a helper gets.
const given = 3

func TestMain(m *testing.M) {
	helpertest.Main(m, map[string]func(args []string) error{
		"hold":                func([]string) error { return rest() },
		"close":               func([]string) error { unix.Close(given); return rest() },
		"accept":              blocking(acceptBlocking(unix.SYS_ACCEPT)),
		"accept4":             blocking(acceptBlocking(unix.SYS_ACCEPT4)),
		"recvfrom":            blocking(func() error { _, _, err := unix.Recvfrom(given, make([]byte, 1), 0); return err }),
		"poll":                blocking(pollFor(unix.POLLIN)),
		"poll to write":       blocking(pollFor(unix.POLLPRI)),
		"select":              blocking(selectFor),
		"epoll":               epoll(unix.EPOLLIN),
		"epoll, at most once": epoll(unix.EPOLLIN | unix.EPOLLONESHOT),
		"epoll to write":      epoll(unix.EPOLLPRI),
		"io_uring":            func([]string) error { return ring() },
		"connection":          connection,
		"Go listener":         goListener,
		"Go, once":            goOnce,
		"elsewhere":           elsewhere,
		"setuid":              setuid,
		"busy":                busy,
	})
}

// say tells the test that the helper is in place.
func say(word string) { fmt.Println(word) }

// rest waits until the test closes standard input.
func rest() error {
	say("in place")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func blocking(f func() error) func([]string) error {
	return func([]string) error {
		if err := unix.SetNonblock(given, false); err != nil {
			return err
		}
		say("in place")
		return f()
	}
}

func acceptBlocking(number uintptr) func() error {
	return func() error {
		_, _, err := unix.Syscall6(number, given, 0, 0, 0, 0, 0)
		return err
	}
}

func pollFor(events int16) func() error {
	return func() error {
		_, err := unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLPRI}, {Fd: given, Events: events}}, -1)
		return err
	}
}

func selectFor() error {
	var set unix.FdSet
	set.Set(given)
	_, err := unix.Select(given+1, &set, nil, nil, nil)
	return err
}

// epoll waits for events, and says so when there are some.
func epoll(events uint32) func([]string) error {
	return func([]string) error {
		fd, err := unix.EpollCreate1(0)
		if err != nil {
			return err
		}
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, given, &unix.EpollEvent{Events: events, Fd: given}); err != nil {
			return err
		}
		say("in place")
		for {
			if n, err := unix.EpollWait(fd, make([]unix.EpollEvent, 1), -1); n > 0 {
				say("woken")
			} else if err != unix.EINTR {
				return err
			}
		}
	}
}

// connection accepts one, and does nothing else any more.
func connection([]string) error {
	if err := unix.SetNonblock(given, false); err != nil {
		return err
	}
	if _, _, err := unix.Accept(given); err != nil {
		return err
	}
	return rest()
}

// goListener has a listener of package net, which is in the runtime's epoll set from
// the start. It accepts once the test closes standard input.
func goListener([]string) error {
	ln, err := net.FileListener(os.NewFile(given, "given"))
	if err == nil {
		err = rest()
	}
	if err == nil {
		_, err = ln.Accept()
	}
	return err
}

// goOnce has accepted and closed one connection once the test closes standard input.
func goOnce([]string) error {
	ln, err := net.FileListener(os.NewFile(given, "given"))
	if err == nil {
		err = rest()
	}
	if err != nil {
		return err
	}
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	c.Close()
	say("done")
	select {}
}

func elsewhere([]string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	say(ln.Addr().String())
	_, err = ln.Accept()
	return err
}

func setuid([]string) error {
	if err := syscall.Setuid(65534); err != nil {
		return err
	}
	return epoll(unix.EPOLLIN)(nil)
}

// busy never waits: it looks for a client whenever it is done with one.
func busy([]string) error {
	if err := unix.SetNonblock(given, true); err != nil {
		return err
	}
	say("in place")
	for {
		fd, _, err := unix.Accept(given)
		switch {
		case err == nil:
			for began := time.Now(); time.Since(began) < 2*time.Millisecond; {
			}
			unix.Close(fd)
		case err != unix.EAGAIN && err != unix.EINTR:
			return err
		}
	}
}

// ring waits by io_uring, without a library: io_uring_setup(2), io_uring_enter(2).
func ring() error {
	const entries, accept, offSQEs, getEvents = 1, 13, 0x10000000, 1
	var params [120]byte // struct io_uring_params
	word := func(offset int) *uint32 { return (*uint32)(unsafe.Pointer(&params[offset])) }
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, entries, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		say("no io_uring: " + errno.Error())
		return nil
	}
	const tail, array = 40 + 4, 40 + 24 // sq_off
	queue, err := unix.Mmap(int(fd), 0, int(*word(array))+4*int(*word(0)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	sqes, err := unix.Mmap(int(fd), offSQEs, 64*int(*word(0)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	sqes[0] = accept
	*(*int32)(unsafe.Pointer(&sqes[4])) = given
	*(*uint32)(unsafe.Pointer(&queue[*word(array)])) = 0
	*(*uint32)(unsafe.Pointer(&queue[*word(tail)])) = 1
	say("in place")
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, fd, 1, 1, getEvents, 0, 0)
		if errno != unix.EINTR {
			return errors.New("io_uring_enter: " + errno.Error())
		}
	}
}
