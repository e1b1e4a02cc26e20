// Package workers has the worker processes of a program stand still while they have
// no connection, so that a signal that ends them costs no client anything.
//
// A worker of a pre-fork server that is told to end ends at once if it has no
// connection. What it takes for that may be wrong: from the moment in which accept(2)
// takes a connection off the queue until the worker has made a note of it, and in
// some servers until the first bytes have come, it ends, and resets a client that was
// about to be served. Under load that costs Starman about one client a stop, as
// TestStarman of handoffd shows under start_server.
//
// From outside one cannot see what a worker takes for true, but one can see which
// sockets it has. So:
//
//   - Begin stops (SIGSTOP) each process that could accept and has no connection, and
//     looks once more: one that has come by a connection meanwhile goes on, and is
//     stopped when it is done with that. So does one that was in no system call, and
//     may be about to accept: a signal before that does not interrupt it. Whoever else
//     has the listener accepts meanwhile.
//   - Then the caller tells the program to end. Its main process, which is never
//     stopped, signals its workers.
//   - Signalled waits until each that stands still has a signal waiting.
//   - End has them go on (SIGCONT). The first that they do is to deal with the
//     signal, and accept(2) is over for them.
//
// Workers that always have a connection, since clients wait in the queue, do not come
// to stand still, and may lose one each as before.
//
// It is for workers whose signal handlers end them, or interrupt accept(2), as those
// of Perl, Python and Ruby do. Where the handler only makes a note and accept(2) goes
// on (SA_RESTART), a worker may accept one more connection, and serves it.
package workers
