package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// A channel is a Unix SOCK_SEQPACKET socket pair between the dispatcher and one
// worker. Each message is one byte. The end of the channel tells the worker to
// finish and end, and the dispatcher that the worker has ended.
type channel struct{ *net.UnixConn }

const (
	msgConn  = 'c' // to the worker, with a connection in SCM_RIGHTS, unix(7)
	msgTaken = 't' // to the dispatcher: I have it, close your copy
	msgIdle  = 'i' // to the dispatcher: I am warm, and have nothing to do
)

// The descriptors that a worker inherits, by name.
const (
	nameChannel  = "dispatcher"
	nameListener = "scgi" // only where workers accept by themselves
)

// newChannel returns the dispatcher's end, and the worker's.
func newChannel() (channel, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return channel{}, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), nameChannel), os.NewFile(uintptr(fds[1]), nameChannel)
	defer ours.Close() // FileConn makes a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return channel{}, nil, err
	}
	return channel{conn.(*net.UnixConn)}, theirs, nil
}

func (c channel) say(msg byte) error {
	_, err := c.Write([]byte{msg})
	return err
}

// hear returns the next message that holds no connection. The error is io.EOF at the end.
func (c channel) hear() (byte, error) {
	var b [1]byte
	_, err := c.Read(b[:])
	return b[0], err
}

// pass sends a copy of a connection. It does not wait: there is room for one.
func (c channel) pass(conn syscall.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		_, _, inner = c.WriteMsgUnix([]byte{msgConn}, syscall.UnixRights(int(fd)), nil)
	})
	return errors.Join(err, inner)
}

// receive waits for a connection. The error is io.EOF when the worker is to end.
// The caller closes the file, which has deadlines.
func (c channel) receive() (*os.File, error) {
	var b [1]byte
	oob := make([]byte, syscall.CmsgSpace(4)) // one descriptor
	n, oobn, flags, _, err := c.ReadMsgUnix(b[:], oob)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || err == nil && n == 0 {
		return nil, io.EOF // a reset is the end of a dispatcher that has not read all
	}
	if err != nil {
		return nil, err
	}
	if b[0] != msgConn || flags&syscall.MSG_CTRUNC != 0 {
		return nil, fmt.Errorf("message %q with flags %#x, want %q with a connection", b[0], flags, msgConn)
	}
	control, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if len(control) != 1 {
		return nil, fmt.Errorf("%d control messages, want one connection", len(control))
	}
	fds, err := syscall.ParseUnixRights(&control[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "connection"), nil
}
