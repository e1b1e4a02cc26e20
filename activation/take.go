package activation

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// taker turns the descriptors of one kind into values of one type.
type taker[T io.Closer] struct {
	what  string // what is taken, for messages
	many  string // the method that takes several
	want  string // the kind it takes, for messages
	match func(Kind) bool

	// convert makes a T of a duplicate: the descriptor itself stays with the
	// Set until all went well, so that an error loses nothing.
	convert func(candidate) (T, error)
}

var (
	listeners = taker[net.Listener]{
		what: "listener", many: "Listeners", want: "a listening stream socket",
		// One that was shut matches too: a method for several that passed over it
		// would leave its clients waiting, and nobody would know.
		match:   func(k Kind) bool { return k.isStream() && (k.Listening || k.Shut) },
		convert: candidate.listener,
	}
	packetConns = taker[net.PacketConn]{
		what: "packet connection", many: "PacketConns", want: "a datagram socket",
		match:   Kind.isDatagram,
		convert: candidate.packetConn,
	}
	conns = taker[net.Conn]{
		what: "connection", many: "Conns", want: "a connected socket",
		match:   func(k Kind) bool { return k.Network != "" && k.Connected },
		convert: candidate.conn,
	}
)

// all takes everything of that name and kind, in order, or nothing.
func (t taker[T]) all(s *Set, name string) ([]T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(t.what, name, t.match, t.want)
	if err != nil {
		return nil, err
	}
	return t.take(name, found)
}

// one takes what is of that name and kind if it is one.
func (t taker[T]) one(s *Set, name string) (T, error) {
	var none T
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(t.what, name, t.match, t.want)
	if err != nil {
		return none, err
	}
	if err := single(found, t.what, name, t.many); err != nil {
		return none, err
	}
	taken, err := t.take(name, found)
	if err != nil {
		return none, err
	}
	return taken[0], nil
}

func (t taker[T]) take(name string, found []candidate) ([]T, error) {
	taken := make([]T, 0, len(found))
	for _, c := range found {
		v, err := t.convert(c)
		if err != nil {
			for _, v := range taken {
				v.Close()
			}
			return nil, fmt.Errorf("activation: %s %q (fd %d): %w", t.what, name, c.fd, err)
		}
		taken = append(taken, v)
	}
	for _, c := range found {
		c.taken = true
		c.open().Close() // the duplicate serves on
	}
	return taken, nil
}

// single refuses several where one was asked for: to choose would leave the
// others without anyone to serve them.
func single(found []candidate, what, name, many string) error {
	if len(found) == 1 {
		return nil
	}
	return fmt.Errorf("activation: %s %q: %w: %s; %s takes them all", what, name, ErrSeveral, listed(found), many)
}

// Listener takes the listening stream or seqpacket socket called name: TCP, Unix
// or vsock. What has that name and is of another kind does not matter, so a unit
// may have a stream and a datagram socket under one name. The caller closes the
// listener; that neither unlinks a Unix socket's path nor ends the manager's
// socket.
//
// errors.Is finds ErrNotActivated, ErrNoName, ErrTaken, ErrKind, ErrSeveral,
// ErrNotListening or os.ErrClosed; then nothing has been taken.
func (s *Set) Listener(name string) (net.Listener, error) {
	return listeners.one(s, name)
}

// Listeners takes all listening sockets called name, in the order of the socket
// unit, at least one. It takes all or, with an error, none. See [Set.Listener].
func (s *Set) Listeners(name string) ([]net.Listener, error) {
	return listeners.all(s, name)
}

// TLSListener takes a listener as [Set.Listener] does, and wraps it by
// [tls.NewListener]. The configuration must have a certificate or a way to get
// one, else there is an error and nothing is taken.
func (s *Set) TLSListener(name string, config *tls.Config) (net.Listener, error) {
	if config == nil || len(config.Certificates) == 0 && config.GetCertificate == nil && config.GetConfigForClient == nil {
		return nil, fmt.Errorf("activation: listener %q: %w", name,
			errors.New("the TLS configuration has none of Certificates, GetCertificate and GetConfigForClient"))
	}
	l, err := s.Listener(name)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, config), nil
}

// PacketConn takes the datagram socket called name: a *net.UDPConn, or a
// *net.UnixConn. The caller closes it. Errors are as for [Set.Listener].
func (s *Set) PacketConn(name string) (net.PacketConn, error) {
	return packetConns.one(s, name)
}

// PacketConns takes all datagram sockets called name, in the order of the socket
// unit, at least one. It takes all or, with an error, none.
func (s *Set) PacketConns(name string) ([]net.PacketConn, error) {
	return packetConns.all(s, name)
}

// Conn takes the connected socket called name: what a unit with Accept=yes
// passes, under the name "connection", and what the fd store kept. The options
// of a TCP connection stay as they were; package net alone would turn on
// TCP_NODELAY and keep-alive. The caller closes the connection. Errors are as
// for [Set.Listener]; ErrKind also comes of a connection whose peer has reset it.
func (s *Set) Conn(name string) (net.Conn, error) {
	return conns.one(s, name)
}

// Conns takes all connected sockets called name, in order, at least one. It takes
// all or, with an error, none.
func (s *Set) Conns(name string) ([]net.Conn, error) {
	return conns.all(s, name)
}

// File takes the descriptor called name, whatever it is: a FIFO, a special file,
// a message queue, or a socket. The caller closes the file.
//
// A file can be interrupted by Close and by deadlines if it is non-blocking.
// Sockets always are; the others are with NonBlocking=yes in the service unit.
// Errors are as for [Set.Listener], without ErrKind and ErrNotListening.
func (s *Set) File(name string) (*os.File, error) {
	files, err := s.takeFiles(name, func(found []candidate) error { return single(found, "file", name, "Files") })
	if err != nil {
		return nil, err
	}
	return files[0], nil
}

// Files takes all descriptors called name, whatever they are, in order, at least
// one. [Inspect] says what each is.
func (s *Set) Files(name string) ([]*os.File, error) {
	return s.takeFiles(name, func([]candidate) error { return nil })
}

// takeFiles gives the descriptors themselves away, where a taker gives duplicates.
func (s *Set) takeFiles(name string, check func([]candidate) error) ([]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find("file", name, func(Kind) bool { return true }, "anything")
	if err != nil {
		return nil, err
	}
	if err := check(found); err != nil {
		return nil, err
	}
	files := make([]*os.File, len(found))
	for i, c := range found {
		c.taken = true
		files[i] = c.open()
	}
	return files, nil
}

// Relisten calls listen(2) on every socket called name that is bound but does
// not listen, so that they can be taken as listeners. A process that shares a
// listener can leave the rotation by shutdown(2), which ends it for all who share
// it; this takes the socket back. The backlog is as large as the kernel allows.
//
// If all of them listen already, nothing happens. A Unix listener that was shut
// cannot listen again: the error wraps ErrNotListening, and the socket unit has to be
// restarted. Errors are else as for [Set.Listeners]. Nothing is taken.
func (s *Set) Relisten(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find("listener", name, listeners.match, listeners.want)
	if err != nil {
		return err
	}
	for _, c := range found {
		if !c.kind.Shut {
			continue
		}
		if err := c.listen(); err != nil {
			return fmt.Errorf("activation: listen again on %q (fd %d): %w", name, c.fd, err)
		}
	}
	return nil
}
