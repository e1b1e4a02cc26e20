// Package handoff keeps a Go service answering while its program is replaced.
//
// Each run of the program is a generation. Across `systemctl restart`, and across
// a reload by handoffd, the next generation goes on with what this one had: its
// listeners, the HTTP/1 connections of its clients, other connections with what
// the program knows of them, packet sockets, TLS session ticket keys, and states
// of the program's own.
//
//	func main() {
//		ctx := context.Background()
//		svc, err := handoff.Open(ctx, handoff.Options{
//			Report: func(err error) { slog.Warn("handoff", "error", err) },
//		})
//		if err != nil {
//			log.Fatal(err)
//		}
//		ln, err := svc.Listen("http", "tcp", ":8080")
//		if err != nil {
//			log.Fatal(err)
//		}
//		if err := svc.Serve(ln, &http.Server{Handler: handler}); err != nil {
//			log.Fatal(err)
//		}
//		if err := svc.Run(ctx); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// The unit gives the service a place in which to leave things, the fd store of
// its manager. Without the first setting the sixth start within ten seconds would
// fail, and the store be emptied:
//
//	[Unit]
//	StartLimitIntervalSec=0
//
//	[Service]
//	Type=notify
//	ExecStart=/usr/bin/app
//	FileDescriptorStoreMax=16
//	NonBlocking=yes
//	Restart=on-failure
//
// The program is the same under systemd, under handoffd and without either. With
// a socket unit (FileDescriptorName=http) no connection is refused even while the
// service is down; without one the listener waits in the store.
//
// # What a client sees
//
// Across a restart new connections wait in the listen queue, and connections that
// are carried wait in the store, for the time that draining and starting take.
// Across a reload nobody waits. Either way no request and no connection is lost,
// under three conditions: the work under way ends within Options.DrainTimeout,
// the program carries all that it has buffered, and no generation crashes while it
// has taken a connection and not passed it on. A generation that crashes loses
// what it held; what it had not yet taken, or had left already, goes to the next
// one.
//
// TLS connections do not move. Their clients are told to connect anew, and resume.
//
// # Where the successor fails
//
// During a reload by handoffd a generation stays, with its listeners open, until its
// successor has taken over all that it left. If that refuses a state (State.Load
// returns an error), ends or takes too long, this generation goes on:
//
//   - It accepts at once. Clients that came meanwhile waited in the listen queue.
//   - Its states are as it saved them; State.Resume may undo what saving did. What
//     the successor has done to a state by then is lost.
//   - Connections that the successor has not taken come back with every byte, and so
//     do those that it leaves as it drains. If it crashes, those that it had taken,
//     or that came in by it, are lost.
//   - Of datagrams none is lost: the successor reads none before it owns.
//   - The functions of Go are called again, and Draining is another channel.
//   - Each *http.Server is replaced by a copy, without what RegisterOnShutdown was
//     given.
//
// A Service whose listeners are not all from Listen and given as they are to Serve
// or ServeTLS with an *http.Server, or to Carrier.Serve, is told to stop as soon as
// its successor is ready, and cannot come back.
//
// # To leave, and to end
//
// To leave the rotation is to have a load balancer send no more clients here, while
// the service runs on: Service.LeaveRotation and RejoinRotation, and, for a program under
// handoffd, "handoffd drain" and "handoffd undrain". Nothing is carried meanwhile.
//
// The drain is the end of Run: Options.LameDuck, in which Ready is negative and
// everybody is still accepted; then nobody is, work under way has Options.DrainTimeout,
// and an idle connection that cannot go on has Options.IdleGrace.
//
// # The store
//
// It holds one entry for each of the following, so FileDescriptorStoreMax= is
// their sum: each listener and packet socket that no socket unit has; one for
// what a generation says of itself; while the program is replaced one or a few
// parcels, however many connections there are, and one for each state; and what
// waits for a later generation, at most eight. All names begin with "handoff.".
// What is there by a name that the program does not ask for is removed.
//
// systemd tells nobody when the store is full or absent, and before v254 not how
// large it is. Whether a parcel was kept is found out, and what does not go in is
// finished politely here, and reported.
//
// A user without privileges may have about as many descriptors in flight as
// RLIMIT_NOFILE says (unix(7)), over all services and parcels: LimitNOFILE= has to
// allow for that. What it keeps back is finished in the same way; states are not.
//
// # For peers in other languages
//
// What is left is left in parcels, whose format package parcel describes. These
// are the entries in them, by their kind:
//
//	kind        name      descriptors  what it is
//	generation                         begins a parcel: who has written it
//	http        listener  1            an HTTP/1 connection, with bytes read of the next request
//	conn        carrier   1            a Carrier's connection, with its ConnFunc's state
//	state       state                  a saved state, in a parcel of its own
//	version     state                  the version of which a state will be saved
//	keys                               the ticket keys, a secret
//
// The last two are in a parcel that is looked into and never emptied, stored as
// "handoff.manifest." with a random number; of several the one of the latest
// generation counts. The others are "handoff.parcel." with a random number. A
// listener is stored as "handoff.listen.NAME", a packet socket as
// "handoff.packet.NAME".
//
// Each payload begins with a head of 28 bytes, its numbers little-endian:
//
//	 0  1 byte   1, the format
//	 1  3 bytes  0
//	 4  uint32   the version, of a state
//	 8  uint64   the generation that wrote it
//	16  int64    when, in seconds of Unix time
//	24  uint32   how many bytes of the connection follow that were read and not used
//	28           these bytes, and then what the program left: the state
//
// A manager that starts a generation beside another gives what is called
// "handoff.parcel." to one generation at a time, over HANDOFF_SOCKET or at its start,
// takes it back from one that ends without having acknowledged it, and gives all
// else to each that starts. It says OWNED=1 at once to a generation that it starts
// alone.
//
// The keys are, for each, when it was made, in seconds of Unix time (int64), and
// 32 bytes; what encrypts the tickets of a listener is
// HMAC-SHA-256(key, "session tickets of " + name).
package handoff
