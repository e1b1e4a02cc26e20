// Command scgi is an SCGI server for an application that answers one request at a
// time in each process: behind nginx (scgi_pass), Apache or lighttpd, with worker
// processes that are replaced without an error for anyone.
//
// A dispatcher holds the listener, gives each connection to a worker that is idle,
// and starts workers where they are missing. The one that became idle last is
// preferred, so that its caches are warm and those that are not needed can end.
//
//	nginx -- 127.0.0.1:4000 -- dispatcher -+- worker
//	                                       +- worker
//	                                       +- ...
//
// # Replacing it
//
//	kill -HUP DISPATCHER      new workers, of the program that is on disk now
//	systemctl reload          a new dispatcher with new workers, by handoffd
//
// Either way the new workers are warm before old ones are told to finish, an old one
// finishes what it does, and a program that does not work leaves the old ones in
// place. `handoffd status` tells the dispatcher's PID. A worker that crashes takes
// along the one request that it was answering. It is replaced after a tenth of a
// second, and after longer where others have failed before it.
//
// # Dispatch or share
//
// With -share the workers have the listener and accept by themselves. It saves the
// way through the dispatcher; in return all of -workers run at all times, since
// nobody knows which of them are idle, and if the dispatcher dies they finish what
// they accepted. In the third way, which only the benchmark has, each worker binds a
// listener of its own with SO_REUSEPORT:
//
//	                                            dispatch   -share  SO_REUSEPORT
//	2 clients  1 worker   CPU of a request        149 µs    68 µs    53 µs
//	           8 workers  CPU of a request        138 µs   126 µs    79 µs
//	                      context switches           7.9      9.8      3.5
//	                      busiest, idlest worker  32, 0 %  27, 4 % 13, 12 %
//	16 clients 1 worker   requests/s                6,692   13,659   15,439
//	                      p99                      6.2 ms   5.1 ms   5.0 ms
//	           2 workers  requests/s                7,549   12,964   13,762
//	                      p99                      6.3 ms   5.0 ms   5.9 ms
//	                      busiest, idlest worker 50, 50 % 52, 48 % 51, 49 %
//	           8 workers  requests/s                7,153   14,726   15,347
//	                      p99                      6.9 ms   5.0 ms   3.3 ms
//	                      busiest, idlest worker 13, 12 %  16, 9 % 13, 12 %
//	and 20 ms for one request in 200:
//	16 clients 8 workers  requests/s                9,573   13,069    7,177
//	                      p99                      4.6 ms   6.1 ms    22 ms
//	32 clients 4 workers  connections lost when
//	                      all are replaced once         0        0       29
//
//	go test -run '^$' -bench Workers -benchtime 20000x ./examples/scgi
//	go test -run '^$' -bench Replace -benchtime 20x ./examples/scgi
//
// (Two cores, on which the clients run as well, so compare the columns and not the
// days; requests that do nothing. CPU and context switches are of all processes of the
// server, and a worker's part is of the requests.)
//
// The dispatcher costs a request about a tenth of a millisecond of CPU. Where a request
// takes a millisecond or more, which is why it has a process, that is nothing, and
// what one gets for it is that only as many workers run as are needed, and that those
// are warm. Share where requests are short and many.
//
// More workers make sharing dearer: a new connection wakes all that are idle, and one
// gets it (the thundering herd). With eight of them, most of which are idle, it costs
// as much as the dispatcher.
//
// SO_REUSEPORT wakes one, and gives each worker a queue of its own. That is why it is
// no way for this program: a connection waits behind a slow request although other
// workers are idle, and a worker that ends resets all that wait in its queue, since
// net.ipv4.tcp_migrate_req is off by default.
//
// # Writing your own
//
// Put your application in the place of handler in handler.go; all that it loads
// before its first request belongs before work in main.go. The unit pair is
// units/holdfast-scgi.socket and .service. nginx needs:
//
//	location / {
//		include scgi_params;
//		scgi_pass 127.0.0.1:4000;
//	}
package main
