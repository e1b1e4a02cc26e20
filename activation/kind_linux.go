package activation

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// magicMqueue is MQUEUE_MAGIC of the kernel's ipc/mqueue.c.
const magicMqueue = 0x19800202

// inspect says what fd is.
func inspect(fd int) (Kind, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Kind{}, os.NewSyscallError("fstat", err)
	}
	k := Kind{file: identify(&st)}
	k.Type = k.file.mode
	if k.Type == TypeSocket {
		return k, inspectSocket(fd, &k)
	}
	// Descriptors without a file of their own look like regular files or like
	// nothing, and only the link in /proc tells them apart. Without /proc the
	// mode has to do.
	link, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	switch {
	case strings.HasPrefix(link, "/memfd:"):
		k.Type = TypeMemfd
	case strings.HasPrefix(link, "anon_inode:[eventfd]"):
		k.Type = TypeEventfd
	case strings.HasPrefix(link, "anon_inode:[eventpoll]"):
		k.Type = TypeEpoll
	case strings.HasPrefix(link, "anon_inode:[pidfd]"):
		k.Type = TypePidfd
	case strings.HasPrefix(link, "anon_inode:"):
		k.Type = TypeOther
	case strings.HasPrefix(link, "/"):
		k.Path = link
	}
	if k.Type == TypeRegular || k.Type == TypeOther {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil {
			return k, os.NewSyscallError("fstatfs", err)
		}
		switch fs.Type {
		case magicMqueue:
			k.Type = TypeMessageQueue
		case unix.PID_FS_MAGIC:
			k.Type = TypePidfd
		}
	}
	return k, nil
}

func identify(st *unix.Stat_t) fileID {
	id := fileID{
		mode: TypeOther,
		dev:  uint64(st.Dev), //nolint:unconvert // 32 bits wide on MIPS
		ino:  st.Ino,
		rdev: uint64(st.Rdev), //nolint:unconvert // 32 bits wide on MIPS
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		id.mode = TypeSocket
	case unix.S_IFIFO:
		id.mode = TypeFIFO
	case unix.S_IFREG:
		id.mode = TypeRegular
	case unix.S_IFDIR:
		id.mode = TypeDirectory
	case unix.S_IFCHR:
		id.mode = TypeCharDevice
	case unix.S_IFBLK:
		id.mode = TypeBlockDevice
	}
	return id
}

// identifyPath returns the zero fileID for a path that does not exist, to which
// sd_is_fifo(3) and its like also count one through what is no directory.
func identifyPath(path string) (fileID, error) {
	var st unix.Stat_t
	switch err := unix.Stat(path, &st); err {
	case nil:
		return identify(&st), nil
	case unix.ENOENT, unix.ENOTDIR:
		return fileID{}, nil
	default:
		return fileID{}, fmt.Errorf("activation: compare with %s: %w", path, err)
	}
}

func inspectSocket(fd int, k *Kind) error {
	var accepts int
	for _, o := range []struct {
		option int
		name   string
		value  *int
	}{
		{unix.SO_DOMAIN, "SO_DOMAIN", &k.Family},
		{unix.SO_TYPE, "SO_TYPE", &k.SocketType},
		{unix.SO_PROTOCOL, "SO_PROTOCOL", &k.Protocol},
		{unix.SO_ACCEPTCONN, "SO_ACCEPTCONN", &accepts},
	} {
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, o.option)
		if err != nil {
			return os.NewSyscallError("getsockopt "+o.name, err)
		}
		*o.value = v
	}
	k.Listening = accepts != 0
	k.Network = network(*k)

	// x/sys fails to decode the addresses of families that package net and this
	// one do not serve either.
	own, _ := unix.Getsockname(fd)
	k.Addr = address(k.Network, own)
	if k.Family != unix.AF_NETLINK { // whose peer is always the kernel
		peer, err := unix.Getpeername(fd)
		k.Connected = err == nil || err == unix.EAFNOSUPPORT
		k.Peer = address(k.Network, peer)
	}
	if k.isStream() {
		k.Shut = !k.Listening && !k.Connected && bound(k.Addr) || k.Listening && hungUp(fd)
	}
	return nil
}

// hungUp tells whether a listener has been shut down. A TCP socket then listens
// no more, but a Unix socket goes on saying so (SO_ACCEPTCONN) while it refuses
// every connection.
func hungUp(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&unix.POLLRDHUP != 0
}

func network(k Kind) string {
	switch {
	case k.isInet() && k.SocketType == unix.SOCK_STREAM && (k.Protocol == unix.IPPROTO_TCP || k.Protocol == unix.IPPROTO_MPTCP):
		return "tcp"
	case k.isInet() && k.SocketType == unix.SOCK_DGRAM && (k.Protocol == unix.IPPROTO_UDP || k.Protocol == unix.IPPROTO_UDPLITE):
		return "udp"
	case k.isUnix() && k.SocketType == unix.SOCK_STREAM:
		return "unix"
	case k.isUnix() && k.SocketType == unix.SOCK_DGRAM:
		return "unixgram"
	case k.isUnix() && k.SocketType == unix.SOCK_SEQPACKET:
		return "unixpacket"
	case k.Family == unix.AF_VSOCK && k.SocketType != unix.SOCK_DGRAM:
		return "vsock"
	}
	return ""
}

// isStream tells whether k is a stream or seqpacket socket that can be taken as a
// net.Listener or net.Conn.
func (k Kind) isStream() bool { return k.Network != "" && k.SocketType != unix.SOCK_DGRAM }

// isDatagram tells whether k is a socket that can be taken as a net.PacketConn.
func (k Kind) isDatagram() bool { return k.Network != "" && k.SocketType == unix.SOCK_DGRAM }

func (k Kind) isInet() bool { return k.Family == unix.AF_INET || k.Family == unix.AF_INET6 }
func (k Kind) isUnix() bool { return k.Family == unix.AF_UNIX }

func address(network string, sa unix.Sockaddr) net.Addr {
	var ip net.IP
	var port int
	var zone string
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		if sa.Name == "" || sa.Name == "@" {
			return nil // x/sys has @ for a socket without a name
		}
		return &net.UnixAddr{Name: sa.Name, Net: network}
	case *unix.SockaddrVM:
		return &VsockAddr{CID: sa.CID, Port: sa.Port}
	case *unix.SockaddrInet4:
		ip, port = sa.Addr[:], sa.Port
	case *unix.SockaddrInet6:
		ip, port = sa.Addr[:], sa.Port
		if sa.ZoneId != 0 {
			zone = strconv.Itoa(int(sa.ZoneId))
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				zone = i.Name
			}
		}
	default:
		return nil
	}
	switch network {
	case "tcp":
		return &net.TCPAddr{IP: ip, Port: port, Zone: zone}
	case "udp":
		return &net.UDPAddr{IP: ip, Port: port, Zone: zone}
	}
	return nil
}

func bound(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.Port != 0
	case *net.UnixAddr:
		return true
	case *VsockAddr:
		return a.Port != unix.VMADDR_PORT_ANY
	}
	return false
}

// socketLabel says what sort of socket k is, as in "stream socket (tcp)".
func socketLabel(k Kind) string {
	return socketTypeName(k.SocketType) + " socket (" + protocolName(k) + ")"
}

func socketTypeName(sotype int) string {
	switch sotype {
	case unix.SOCK_STREAM:
		return "stream"
	case unix.SOCK_DGRAM:
		return "datagram"
	case unix.SOCK_SEQPACKET:
		return "seqpacket"
	case unix.SOCK_RAW:
		return "raw"
	}
	return fmt.Sprintf("type %d", sotype)
}

func protocolName(k Kind) string {
	switch k.Family {
	case unix.AF_UNIX:
		return "unix"
	case unix.AF_VSOCK:
		return "vsock"
	case unix.AF_NETLINK:
		return "netlink"
	case unix.AF_PACKET:
		return "packet"
	case unix.AF_INET, unix.AF_INET6:
		switch k.Protocol {
		case unix.IPPROTO_TCP:
			return "tcp"
		case unix.IPPROTO_MPTCP:
			return "mptcp"
		case unix.IPPROTO_UDP:
			return "udp"
		case unix.IPPROTO_UDPLITE:
			return "udplite"
		case unix.IPPROTO_SCTP:
			return "sctp"
		}
		return fmt.Sprintf("IP protocol %d", k.Protocol)
	}
	return fmt.Sprintf("family %d", k.Family)
}
