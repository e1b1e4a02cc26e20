package storeserver

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// A hangupWatch tells which stored descriptors are of no use any more: poll(2) finds a
// hangup or an error on them. systemd drops those, but for FDPOLL=0.
type hangupWatch struct {
	file *os.File // epoll(7)
	raw  syscall.RawConn
	done chan struct{}
}

// watchHangups has hungUp called once for each descriptor, with its ID.
func watchHangups(hungUp func(id int32)) (*hangupWatch, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else package os would wait in a thread of its own
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	h := &hangupWatch{file: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{})}
	if h.raw, err = h.file.SyscallConn(); err != nil {
		h.file.Close()
		return nil, err
	}
	go h.run(hungUp)
	return h, nil
}

func (h *hangupWatch) run(hungUp func(int32)) {
	defer close(h.done)
	events := make([]unix.EpollEvent, 16)
	for {
		var n int
		err := h.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events, 0)
			return n != 0 && !errors.Is(err, unix.EINTR)
		})
		if err != nil || n < 0 {
			return // closed
		}
		for _, e := range events[:n] {
			hungUp(e.Fd)
		}
	}
}

// add watches f. What cannot be polled, such as a memfd, never hangs up.
func (h *hangupWatch) add(f *os.File, id int32) {
	// No events are asked for: a hangup and an error always are.
	h.control(unix.EPOLL_CTL_ADD, f, &unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: id})
}

func (h *hangupWatch) remove(f *os.File) { h.control(unix.EPOLL_CTL_DEL, f, nil) }

func (h *hangupWatch) control(op int, f *os.File, e *unix.EpollEvent) {
	fd.With(h.file, func(epoll int) error {
		return fd.With(f, func(fd int) error { return unix.EpollCtl(epoll, op, fd, e) })
	})
}

func (h *hangupWatch) close() {
	h.file.Close()
	<-h.done
}
