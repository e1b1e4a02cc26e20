// Package loadtest puts load on an HTTP server and counts what its clients lose.
//
// It is made to judge a server while its program is replaced, so it hides
// nothing that a client can see. It does not use net/http's Transport, which
// reconnects and repeats requests silently: each request is sent once, on a
// connection of this package's own, and ends in exactly one [Class]: OK, refused,
// reset, cut short, wrong answer, error status, timed out, or other.
//
//	result, err := loadtest.Run(ctx, loadtest.Options{
//		URL:      "http://127.0.0.1:8080/",
//		Clients:  32,
//		Requests: 20_000,
//		Check:    loadtest.Equals("hello\n"),
//	})
//	if err != nil {
//		return err
//	}
//	return result.Err() // names the counts and the first failures, if there are any
//
// [Start] does the same in the background; [Load.Mark] begins a phase, so that
// what clients see at rest and while a service restarts is counted apart.
//
// # Closed and open loop
//
// In a closed loop (Options.Rate is 0) each client sends its next request when
// the last one is answered. Latency counts from when a request is begun, the
// dial included. A client whose request failed waits 10 ms.
//
// In an open loop (Options.Rate is set) request number i is due at i/Rate after
// the start, whatever the server does. A request that finds all clients busy is
// sent when one is free, none is left out, and its latency and Options.Timeout
// count from when it was due. So a server that stalls for a second shows a
// second in the percentiles, as its users would see, and not one slow request a
// client ("coordinated omission"). A request that has waited Timeout for a free
// client is counted as timed out and is not sent, which bounds the backlog.
//
// Latencies are of requests that ended OK; failures are in the counts, never in
// the percentiles.
//
// # Connections
//
// Without Options.KeepAlive each request has a connection of its own and says
// Connection: close. With it each client keeps its connection as long as the
// server does. Before it sends on a kept connection, the client asks the kernel
// whether the server has closed it; if so it opens another, which is counted as
// Reconnected and is no failure. A server that closes while the request is
// already on its way has lost it: that is counted as Cut or Reset, and as
// [Counts.Stale]. A server that says Connection: close first, loses none.
//
// An answer without Content-Length and chunks ends where the connection ends:
// only Check can tell that it was cut.
//
// # JSON
//
// A [Result] marshals to an object with these members. Names that end in _ns
// hold nanoseconds; times are RFC 3339.
//
//	workload   what was asked for: url, network, address, clients, rate (0: closed
//	           loop), keep_alive, post_every, body_size, timeout_ns
//	total      a phase that holds all others
//	phases     a list of phases: name, start, elapsed_ns, requests, failed and
//	           - counts: ok, refused, reset, cut, wrong, status, timed_out, other,
//	             canceled, stale, connections, reconnected
//	           - latency_ns: min, mean, p50, p90, p99, p99_9, max
//	           - histogram: the HdrHistogram of latencies in ns, in its V2
//	             compressed encoding, which all HdrHistogram libraries read
//	failures   the first five of each class: class, time, after_ns, phase, id
//	           (X-Request-Id), method, local (address), on_reused, received
//	           (bytes of the answer), text
package loadtest
