// Package accepting finds out whether the processes of a program wait for clients on
// sockets that they were given, from outside and without their help: by what /proc
// shows of their descriptors and system calls.
//
// A process accepts on a socket if it
//
//   - has it in an epoll set, for input (epoll_wait(2); /proc/PID/fdinfo),
//   - is in accept(2), poll(2), select(2) or recvmsg(2) with it (/proc/PID/task/TID/syscall),
//   - has an accept on it under way in io_uring(7), or
//   - holds a connection that was accepted from it, after the Watch was made.
//
// The runtime of Go puts a listener into its epoll set long before a program calls
// Accept. So where the set is Go's, the process accepts only if a goroutine waits:
// see goroutineWaits.
//
// The runtimes of others hide that difference. Node accepts a connection as soon as
// the server listens, and answers once a handler is installed. Only a probe, which
// asks for an answer, tells the two apart.
package accepting
