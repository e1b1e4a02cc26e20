// Package control is the interface by which a service under handoffd is
// controlled: a Varlink interface (https://varlink.org) on a Unix socket, with
// its server and its client. What it controls is a [Supervisor].
//
// The server:
//
//	l, err := control.Listen(filepath.Join(os.Getenv("RUNTIME_DIRECTORY"), "control"))
//	if err != nil {
//		return err
//	}
//	err = control.Serve(ctx, l, supervisor, control.Options{}) // until ctx ends
//
// A client:
//
//	c, err := control.Dial(ctx, path)
//	if errors.Is(err, control.ErrNoServer) {
//		return 69 // EX_UNAVAILABLE of sysexits.h(3head)
//	}
//	defer c.Close()
//	verdict, err := c.Reload(ctx, control.ReloadRequest{})
//
// systemd's own client does as well: varlinkctl(1), from systemd 257 on with these
// options. Its calls end after 45 seconds unless it is told otherwise:
//
//	varlinkctl info /run/app/control
//	varlinkctl introspect /run/app/control io.github.holdfast-go.handoffd
//	varlinkctl call /run/app/control io.github.holdfast-go.handoffd.Status {}
//	varlinkctl call --timeout=infinity /run/app/control io.github.holdfast-go.handoffd.Reload '{"hold":true}'
//	varlinkctl -E call /run/app/control io.github.holdfast-go.handoffd.Monitor {}
//
// # Who is heard
//
// The socket has mode 0600 from its first moment on. Who connects nevertheless
// and is neither root nor the user of the server, by SO_PEERCRED of unix(7), gets
// org.varlink.service.PermissionDenied for an answer, whatever it asks.
//
// # Bounds
//
// A message is at most MaxRequest bytes long, and once begun must be whole within
// [Options].Timeout. A client may stay without asking anything; where there are
// [Options].MaxClients, the one that has done so for the longest time makes room
// for the next. Those that wait for an answer stay: if all do, a newcomer gets
// the error TooManyClients. A call is carried out whether or not its client is
// still there. Clients that do not take their answers are dropped, and whoever
// monitors slowly misses states in between, but never the last one.
//
// # Replacing the server
//
// The program of the server may be replaced in place, by execve(2): File of the
// Listener and Freeze of the Server give what the next server needs to go on, and
// FileListener and [Options].Carried take it. Clients notice nothing, and what they
// wait for they get from the next server, if the [Supervisor] knows by [CallOf] what
// that was.
//
// # The library
//
// Of github.com/varlink/go the server uses the messages, their dispatch and the
// interface org.varlink.service. Its listener takes descriptor 3 of LISTEN_FDS,
// a public socket of the service, for its own, and its reader has neither a bound
// nor a deadline, so those are written here, and the client with them.
package control
