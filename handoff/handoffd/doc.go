// Command handoffd keeps a service answering while its program is replaced. It is
// the main process of the service, and runs the program as generations:
//
//	[Service]
//	Type=notify
//	ExecStart=handoffd run -- /usr/bin/app --flags
//	ExecReload=handoffd reload
//
// On `systemctl reload` it starts the program anew beside the generation that
// serves. When the new one is ready it takes over, and the old one is told to stop
// and finishes its work. If the new one fails, the old one goes on as before, and
// the reload fails and says why.
//
// A program on package handoff, or one that speaks HANDOFF_SOCKET as package
// handoff/parcel describes it, can also come back when its successor was ready and
// then fails. It is not told to stop at once: it stops accepting, finishes what is
// under way, and leaves its states, packet sockets and connections to its successor.
// If that refuses a state, ends, or has not taken all after --handover-timeout, the
// old generation goes on as before, at once, with its states as it saved them; the
// reload fails and says why. Connections that the new one had not taken, or leaves
// again as it ends, come back. Lost is what it had taken if it crashes, and what it
// did to a state. An old generation that has work under way for longer than
// --release-timeout finishes that as it drains, and the new one serves: from then on
// there is no way back but another reload.
//
// To the program handoffd is systemd: it passes the sockets (sd_listen_fds(3)),
// hears READY=1, WATCHDOG=1 and the like (sd_notify(3)), and keeps what is stored
// with FDSTORE=1, so a program that works as a socket-activated service works here.
// SIGPIPE is ignored in it, as IgnoreSIGPIPE=yes of systemd.exec(5) has it by default.
//
// There is one difference to a restart: a generation starts before its predecessor
// stores what it leaves. A program that reads HANDOFF_SOCKET gets it there, while it
// runs. Any other can get it only when it starts: what two processes may have at
// once (sockets that listen or take datagrams, files, memfds) comes to the generation
// after the next, and what has one reader (a connection, a pipe, a parcel) to the
// next that starts while no other serves, as after a crash or a restart of the unit.
// Until then all of it stays in the store.
//
// A generation is ready when it says READY=1, and waits for clients: some process of it
// has a passed socket in accept(2), poll(2), select(2), epoll(7) or io_uring(7), or a
// connection that it has accepted. The first generation must wait on any of the sockets,
// a successor on all that its predecessor waits on. Datagram sockets do not count, since
// two generations may not read from one. A generation that does not wait
// --accept-timeout after READY=1 is undone, and the reason says what it does instead. A
// standby, which waits for clients once it is the leader, has --accept-later. With
// --ready accept the program need not say anything: it is ready when it waits.
//
// handoffd sees that in /proc. Where a process has another user, that takes
// CAP_SYS_PTRACE; where it cannot be seen, READY=1 counts alone, and handoffd says at
// once what it may not look into.
//
// A runtime may accept before the program has a handler, as that of Node does. --probe
// asks each generation for an answer before it counts as ready, while the old one still
// accepts: by a request (http://NAME/PATH, where NAME is that of a socket, or of a host
// if one listener was passed), by a connection (tcp), or by a command, which gets
// $HANDOFF_GENERATION and $MAINPID. handoffd finds out which process has the connection
// before it sends the last byte, so only an answer of the new generation counts. If the
// old one takes all, its cgroup is frozen until the new one has accepted, for at most
// 250 ms. That takes AF_NETLINK in RestrictAddressFamilies=. A generation that gives no
// good answer (200 to 399) within --probe-timeout is undone, with what it answered.
//
// A program of start_server (Perl's Server::Starter) or of Einhorn runs as it is:
// `run --compat server-starter` and `--compat einhorn` pass the sockets in their way,
// too. Such a program counts as ready when it has lived for a second (--ready
// alive:1s), as there, and mostly ends on another signal (--stop-signal QUIT). It waits
// in accept(2) itself: the unit says NonBlocking=no. Einhorn's command socket is not
// there; a program that acknowledges its start sends READY=1 instead. A worker that is
// woken for a connection in the moment in which it is told to end may lose that:
// Starman's do. With --pause-workers 10s those that have no connection are stopped
// (SIGSTOP) before the stop signal is sent, so that none comes by one, and go on when
// their own signal waits for them. One that has a connection for all of that time is
// told as it is.
//
// A program may say more of itself, by assignments that systemd takes no notice
// of. `handoffd status` shows them, and package handoff sends them:
//
//	X_HANDOFF_VERSION=1.2.3   its version, of at most 64 bytes
//	X_HANDOFF_CARRIED=42      how many connections it took over from the generation before
//
// What the generation that serves says with ERRNO=, BUSERROR=, VARLINKERROR= and
// EXIT_STATUS= is passed on to systemd; what one says that then fails is part of the
// reason of its failure.
//
// `systemctl stop` lets the program drain. One that outlasts --drain-timeout is
// killed, and the unit then ends as failed (result exit-code, status 137), as it
// would with systemd alone (result timeout) after TimeoutStopSec=: what it had in
// hand is lost. A generation that is killed after a reload changes nothing but that.
// SIGINT stops, too, and a second one, such as by Ctrl-C at a terminal, leaves two
// seconds of the drain.
//
// `handoffd reexec`, and SIGUSR2, replace handoffd itself by the one that is at its
// path by then, without a change of the PID: generations and what they have stored,
// time limits and the wait for verdicts go on in the new one. That is first tried
// as a child, which reads the state; where it cannot, the old one goes on and the
// verb says why. Signals that come meanwhile:
//
//	SIGUSR1       stops the service; waits for the new handoffd, and is not lost
//	SIGRTMIN+1    reloads it (35; the C library's number); likewise
//	SIGUSR2       likewise
//	SIGTERM       for a few milliseconds it ends handoffd, and so the service without a drain
//	SIGHUP        for as long it is lost; systemd does not wait for it in vain
//	SIGINT        for as long it is lost
//
// So units say KillSignal=SIGUSR1, with KillMode=mixed, since a generation knows
// nothing of it, and those of Type=notify-reload ReloadSignal=SIGRTMIN+1.
//
// `handoffd unit` prints such a pair of units for a program, `handoffd check` says what
// in one would lose a client, and `handoffd man` prints manual pages.
//
// Verbs exit with 0 when it is done, 1 when it failed or was undone, with 2 when
// they were used wrongly, and with 69 where no handoffd is to be reached. `run`
// exits as the program did.
package main
