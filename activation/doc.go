// Package activation takes over the descriptors that a manager passes to a
// service at its start: sockets on which systemd listens in its place, so that no
// client is refused while the program is not running, is being replaced, or has
// not been needed yet.
//
// A socket-activated service has two unit files of one name. The first says what
// to listen on, and how the program knows it:
//
//	# web.socket
//	[Socket]
//	ListenStream=80
//	FileDescriptorName=http
//
//	[Install]
//	WantedBy=sockets.target
//
//	# web.service
//	[Unit]
//	# Else the sixth start within 10 s fails, and with it the socket.
//	StartLimitIntervalSec=0
//
//	[Service]
//	ExecStart=/usr/bin/web
//	NonBlocking=yes
//
// The program asks for it by that name:
//
//	set, err := activation.Inherit()
//	if err != nil {
//		return err
//	}
//	defer set.Close()
//	l, err := set.Listen(ctx, "http", "tcp", "localhost:8080")
//	if err != nil {
//		return err
//	}
//	return http.Serve(l, handler)
//
// Started from a shell, where nothing is inherited, the same program listens on
// localhost:8080.
//
// # Names
//
// Without FileDescriptorName= a descriptor has its socket unit's name, such as
// "web.socket"; a connection of a unit with Accept=yes is called "connection"; and
// what comes back from the fd store without a name is called "stored". All sockets
// of one unit have one name, of whatever kind they are. So a descriptor is
// identified by its name and its kind: Listener takes the stream socket of a name
// and PacketConn the datagram socket of the same name. Never rely on the order
// among different names.
//
// # Ownership
//
// A [Set] owns what was inherited. Each descriptor can be taken once, as a
// net.Listener, net.PacketConn, net.Conn or *os.File, and then belongs to the
// caller. An attempt that fails takes nothing. [Set.Close] closes what is left,
// and says what that was. Closing a descriptor does not end the manager's socket,
// and no method here unlinks a path that the manager made.
//
// # Shared sockets
//
// All processes that inherit a socket share one open file description, and so
// one O_NONBLOCK flag. The manager sets the flag to what the service unit's
// NonBlocking= says each time that it starts a service. If two services share a
// socket, both need NonBlocking=yes, or the start of one makes the sockets of the
// other blocking, and its Close no longer ends its Accept.
//
// # Passing descriptors on
//
// [Start] starts a child that inherits descriptors by the same protocol, whatever
// language it is written in; its program calls [ExecStep] first.
//
// The protocol is described in sd_listen_fds(3), the units in systemd.socket(5),
// and the environment in systemd.exec(5). It exists on Linux only. Elsewhere the
// package builds, nothing is inherited, and [Set.Listen] opens fresh listeners.
package activation
