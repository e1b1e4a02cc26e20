// Package rotation takes a TCP listener out of a load balancer's rotation, and
// back, so that each client is served to the end or refused, and none is reset
// after its handshake.
//
// To close a listener, or to shut it down, resets what is in its queue and what is
// in a handshake at that moment; on a link with a delay that is two or three
// connections of every hundred. So:
//
//   - Hold attaches a classic BPF filter (socket(7), SO_ATTACH_FILTER) that drops
//     new SYNs. Clients that come from now on send it again after a second.
//   - Settled waits until no handshake is under way and nothing waits in the queue,
//     and a second longer. Whoever accepts goes on with it meanwhile.
//   - Shut shuts the listener down: the kernel refuses everyone at once. The port
//     stays bound, and service managers that hold the socket too do not notice.
//   - Open undoes both.
//
// All of that belongs to the socket, and not to the process: whoever shares it is
// out of the rotation, too, and it lasts longer than a process that was killed. So
// every way out of a process that has called Hold leads through Open, and a process
// that inherits a listener calls Open first.
//
// Hold needs CAP_NET_ADMIN where the kernel keeps filters of TCP sockets from others
// (6.18.44 does). One who has it can lend a hand: HoldOf. The rest needs no privilege.
//
// Unix sockets are left alone: Linux does not let one listen again that was shut
// down.
package rotation

import "time"

// Least is for how long nobody must have come before a listener that leaves is shut:
// longer than a round trip to any client, since a handshake need not be seen. The
// kernel forgets those for which SYN cookies stand in, where the queue was full
// (tcp(7)).
const Least = time.Second
