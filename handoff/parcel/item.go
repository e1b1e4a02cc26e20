package parcel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// An Item is an entry that was taken out of a parcel. It owns its descriptors
// until they are taken, each once, or Close closes those that were not. They are
// close-on-exec. An Item may be used by one goroutine at a time.
type Item struct {
	Kind, Name string
	Payload    []byte
	Secret     bool // as the entry had it

	fds []int // -1 for one that was taken
}

// Len returns how many descriptors the item came with.
func (it *Item) Len() int { return len(it.fds) }

// take makes descriptor i the caller's.
func (it *Item) take(i int) (int, error) {
	if i < 0 || i >= len(it.fds) {
		return -1, fmt.Errorf("there are %d descriptors", len(it.fds))
	}
	fd := it.fds[i]
	if fd < 0 {
		return -1, ErrClosed
	}
	it.fds[i] = -1
	return fd, nil
}

// Conn takes descriptor i, a connected stream socket, as a Conn: the cheap way,
// for a connection that needs no more than net.Conn has.
func (it *Item) Conn(i int) (*Conn, error) {
	fd, err := it.take(i)
	if err != nil {
		return nil, it.errorf(i, err)
	}
	return &Conn{fd: fd}, nil
}

// NetConn takes descriptor i, a socket, as what package net makes of it, a
// *net.TCPConn, *net.UnixConn or *net.UDPConn. Its socket options stay as they
// are, also those that net.FileConn turns on. Where it is no such socket, it
// stays in the item.
func (it *Item) NetConn(i int) (net.Conn, error) {
	fd, err := it.take(i)
	if err != nil {
		return nil, it.errorf(i, err)
	}
	c, err := newNetConn(fd)
	if err != nil {
		it.fds[i] = fd
		return nil, it.errorf(i, err)
	}
	return c, nil
}

// File takes descriptor i as a file, whatever it is.
func (it *Item) File(i int) (*os.File, error) {
	fd, err := it.take(i)
	if err != nil {
		return nil, it.errorf(i, err)
	}
	return os.NewFile(uintptr(fd), it.Name), nil
}

// Entry makes an entry of the item as it is now, to be put into another parcel.
// The descriptors stay the item's: let Done close it once the entry was sent.
func (it *Item) Entry() Entry {
	e := Entry{Kind: it.Kind, Name: it.Name, Payload: it.Payload, Secret: it.Secret}
	for _, fd := range it.fds {
		if fd >= 0 {
			e.Descriptors = append(e.Descriptors, rawDescriptor(fd))
		}
	}
	return e
}

// Close closes the descriptors that were not taken. Where one is the last copy
// of a connection, that ends it.
func (it *Item) Close() error {
	for i, fd := range it.fds {
		if fd >= 0 {
			closeAll([]int{fd})
			it.fds[i] = -1
		}
	}
	return nil
}

func (it *Item) errorf(i int, err error) error {
	return fmt.Errorf("parcel: %s %q: descriptor %d: %w", it.Kind, it.Name, i, err)
}

// A rawDescriptor is a bare number that the package owns.
type rawDescriptor int

var _ syscall.Conn = rawDescriptor(0)

func (d rawDescriptor) SyscallConn() (syscall.RawConn, error) { return d, nil }

func (d rawDescriptor) Control(f func(fd uintptr)) error {
	f(uintptr(d))
	return nil
}

func (d rawDescriptor) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (d rawDescriptor) Write(func(uintptr) bool) error { return errors.ErrUnsupported }
