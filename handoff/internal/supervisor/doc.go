// Package supervisor runs a program as generations: it carries out what package
// generation decides, and tells it what happens.
//
// To the program it is the service manager: it passes descriptors
// (sd_listen_fds(3)), hears notifications (sd_notify(3)) on a socket of each
// generation's own, and keeps what generations store. To the service manager
// above it is a service.
//
//	s, err := supervisor.New(supervisor.Options{Program: []string{"/usr/bin/app"}})
//	if err != nil {
//		return err
//	}
//	end, err := s.Run(ctx) // until a stop was asked, or nothing is left to do
//	os.Exit(end.Code())
//
// The program's main calls ExecStep first: see package process, which has the processes
// of generations.
//
// One goroutine, that of Run, owns all state. All others send it functions to
// call, and do what may take long: starting processes, waiting for them, reading
// sockets, telling the manager.
//
// The Supervisor itself only has its parts speak to each other. Each is a type in a file
// of its name: the machine that decides and its timers, the effects, an instance for each
// generation with its readiness, watchdog, self-report and orders, the launcher,
// notifications, requests and their answers, the drain out of the rotation, the stop. The
// processes, the store, the service manager above and the replacement of this program are
// packages of their own below handoff/internal.
//
// This program replaces itself by Reexec: it writes down all that Run's goroutine
// knows, with the descriptors' numbers, and executes another one, which begins
// with Inherit instead of New:
//
//	successor, err := supervisor.Inherit()
//	if successor != nil {
//		s, err = successor.Restore(o)
//	}
package supervisor
