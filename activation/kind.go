package activation

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// Type is the broad sort of a descriptor.
type Type string

// What systemd passes are sockets, FIFOs, special files (character devices, files
// below /proc and /sys) and message queues; the fd store can return any of these.
const (
	TypeSocket       Type = "socket"
	TypeFIFO         Type = "FIFO"
	TypeRegular      Type = "regular file"
	TypeDirectory    Type = "directory"
	TypeCharDevice   Type = "character device"
	TypeBlockDevice  Type = "block device"
	TypeMessageQueue Type = "message queue"
	TypeMemfd        Type = "memfd"
	TypePidfd        Type = "pidfd"
	TypeEventfd      Type = "eventfd"
	TypeEpoll        Type = "epoll"
	TypeOther        Type = "other descriptor"
)

// Kind says what a descriptor is.
type Kind struct {
	Type Type

	// Network is the socket's network as package net names it: tcp, udp, unix,
	// unixgram or unixpacket; or vsock. It is empty for other sockets.
	Network string

	// Family, SocketType and Protocol are the socket's SO_DOMAIN, SO_TYPE and
	// SO_PROTOCOL, in Linux's numbers.
	Family, SocketType, Protocol int

	// Listening is the socket's SO_ACCEPTCONN.
	Listening bool

	// Connected tells that the socket has a peer.
	Connected bool

	// Shut tells of a stream or seqpacket socket that is bound but takes no
	// connections, since a process that shares it has shut it down, or since
	// nobody has called listen on it. See [Set.Relisten].
	Shut bool

	// Addr and Peer are the socket's own and its peer's address. They are nil
	// where there is none, and for families that Network does not name.
	Addr, Peer net.Addr

	// Path is where the file is, for what has a path and is no socket.
	Path string

	file fileID
}

// fileID is what stat(2) tells of a file, to compare two of them by. A message
// queue and a memfd are regular files to it.
type fileID struct {
	mode           Type // TypeFIFO, TypeRegular, TypeCharDevice or another
	dev, ino, rdev uint64
}

// Inspect says what f is. It neither changes f nor takes it over.
// It works on Linux only; elsewhere the error is errors.ErrUnsupported.
func Inspect(f *os.File) (Kind, error) {
	raw, err := f.SyscallConn() // f.Fd would make a socket of package net blocking
	if err != nil {
		return Kind{}, fmt.Errorf("activation: inspect %s: %w", f.Name(), err)
	}
	var k Kind
	var inner error
	if err = raw.Control(func(fd uintptr) { k, inner = inspect(int(fd)) }); err == nil {
		err = inner
	}
	if err != nil {
		return Kind{}, fmt.Errorf("activation: inspect %s: %w", f.Name(), err)
	}
	return k, nil
}

// String describes k for people, as in "listening stream socket (tcp) on [::]:80".
func (k Kind) String() string {
	if k.Type != TypeSocket {
		if k.Type == "" {
			return "unidentified descriptor"
		}
		return strings.TrimSpace(string(k.Type) + " " + k.Path)
	}
	s := socketLabel(k)
	switch {
	case k.Shut:
		s = "shut " + s
	case k.Listening:
		s = "listening " + s
	case k.Connected:
		s = "connected " + s
	}
	if k.Addr != nil {
		s += " on " + k.Addr.String()
	}
	if k.Peer != nil {
		s += " with peer " + k.Peer.String()
	}
	return s
}

// ListenState is what the checks of a Kind demand of a socket's SO_ACCEPTCONN.
type ListenState int

// The zero value demands nothing.
const (
	AnyState ListenState = iota
	Listening
	NotListening
)

func (s ListenState) allows(listening bool) bool {
	return s == AnyState || (s == Listening) == listening
}

// IsSocket is sd_is_socket(3): family is an AF_ and sotype a SOCK_ constant, and
// 0 stands for any.
func (k Kind) IsSocket(family, sotype int, state ListenState) bool {
	return k.Type == TypeSocket &&
		(family == 0 || family == k.Family) &&
		(sotype == 0 || sotype == k.SocketType) &&
		state.allows(k.Listening)
}

// IsSocketInet is sd_is_socket_inet(3): an IPv4 or IPv6 socket, bound to port
// unless that is 0. A family of 0 stands for both.
func (k Kind) IsSocketInet(family, sotype int, state ListenState, port int) bool {
	return k.isInet() && k.IsSocket(family, sotype, state) && (port == 0 || port == portOf(k.Addr))
}

// IsSocketUnix is sd_is_socket_unix(3): a Unix socket, bound to path unless that
// is empty. An abstract name begins with @ or a NUL byte.
func (k Kind) IsSocketUnix(sotype int, state ListenState, path string) bool {
	if !k.isUnix() || !k.IsSocket(0, sotype, state) {
		return false
	}
	if rest, ok := strings.CutPrefix(path, "\x00"); ok {
		path = "@" + rest
	}
	return path == "" || k.Addr != nil && k.Addr.String() == path
}

// IsFIFO is sd_is_fifo(3): a FIFO, that at path unless path is empty. A path
// that does not exist is false and no error.
func (k Kind) IsFIFO(path string) (bool, error) {
	if k.file.mode != TypeFIFO || path == "" {
		return k.file.mode == TypeFIFO, nil
	}
	at, err := identifyPath(path)
	return at.mode == TypeFIFO && at.dev == k.file.dev && at.ino == k.file.ino, err
}

// IsSpecial is sd_is_special(3): a character device or regular file, that at
// path unless path is empty. A path that does not exist is false and no error.
func (k Kind) IsSpecial(path string) (bool, error) {
	mode := k.file.mode
	if mode != TypeRegular && mode != TypeCharDevice || path == "" {
		return mode == TypeRegular || mode == TypeCharDevice, nil
	}
	at, err := identifyPath(path)
	if mode == TypeCharDevice {
		return at.mode == mode && at.rdev == k.file.rdev, err
	}
	return at.mode == mode && at.dev == k.file.dev && at.ino == k.file.ino, err
}

// IsMQ is sd_is_mq(3): a POSIX message queue, that called name unless name is
// empty. A name begins with a slash; it is looked up below /dev/mqueue, and one
// that is not there is false and no error.
func (k Kind) IsMQ(name string) (bool, error) {
	if name != "" && name[0] != '/' {
		return false, fmt.Errorf("activation: message queue %q: want a name that begins with a slash", name)
	}
	if k.Type != TypeMessageQueue || name == "" {
		return k.Type == TypeMessageQueue, nil
	}
	at, err := identifyPath("/dev/mqueue" + name)
	return at.dev == k.file.dev && at.ino == k.file.ino, err
}

func portOf(a net.Addr) int {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.Port
	case *net.UDPAddr:
		return a.Port
	}
	return 0
}
