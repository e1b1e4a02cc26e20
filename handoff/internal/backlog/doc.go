// Package backlog notices that nobody accepts: clients wait in the queue of a
// listener, and no process takes one.
//
// At rest it costs nothing. epoll(7) wakes the Watcher when a client comes, once
// (EPOLLONESHOT), and not again before a pause: one wake-up a second at most, however
// many clients come. It takes no wake-up from a worker, because it does not ask for
// exclusive ones.
//
// A queue that has clients in it says little, as a busy server always has some. So
// the Watcher notes who waits. Queues are first in, first out: as long as every one
// of them still waits, nobody has taken any.
package backlog
