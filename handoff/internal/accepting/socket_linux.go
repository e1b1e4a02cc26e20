package accepting

import (
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// A Socket is one on which a program is to wait for clients.
type Socket struct {
	Name    string // as the program knows it
	Address string // for people
	Inode   uint32 // as in the link /proc/PID/fd/N

	stream bool           // it is a listener, and no datagram socket
	device uint64         // of the file system that the inode is of, in the kernel's encoding
	tcp    netip.AddrPort // of a TCP listener
	path   string         // of a Unix socket, as in /proc/net/unix
}

// Sockets returns the files that clients come to: listeners, and datagram sockets
// without a peer. It keeps none of the files.
func Sockets(files []activation.NamedFile) []Socket {
	var list []Socket
	for _, f := range files {
		k, err := activation.Inspect(f.File)
		if err != nil || k.Type != activation.TypeSocket {
			continue
		}
		datagram := !k.Connected && (k.Network == "udp" || k.Network == "unixgram")
		if !k.Listening && !datagram {
			continue
		}
		s := Socket{Name: f.Name, Address: "a socket", stream: k.Listening}
		if k.Addr != nil {
			s.Address = k.Addr.String()
		}
		switch a := k.Addr.(type) {
		case *net.TCPAddr:
			s.tcp = netip.AddrPortFrom(a.AddrPort().Addr().Unmap().WithZone(""), a.AddrPort().Port())
		case *net.UnixAddr:
			s.path = a.Name
		}
		var st unix.Stat_t
		if fd.With(f.File, func(n int) error { return unix.Fstat(n, &st) }) != nil {
			continue
		}
		s.Inode = uint32(st.Ino)
		s.device = uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev))
		list = append(list, s)
	}
	return list
}

// Listeners returns those of the sockets that are listeners.
func Listeners(sockets []Socket) []Socket {
	return slices.DeleteFunc(slices.Clone(sockets), func(s Socket) bool { return !s.stream })
}

// Inodes returns those of the sockets.
func Inodes(sockets []Socket) []uint32 {
	list := make([]uint32, 0, len(sockets))
	for _, s := range sockets {
		list = append(list, s.Inode)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// accepted reports whether a connection with the local address came by s.
func (s Socket) accepted(local netip.AddrPort) bool {
	return s.tcp.IsValid() && s.tcp.Port() == local.Port() && (s.tcp.Addr().IsUnspecified() || s.tcp.Addr() == local.Addr())
}
