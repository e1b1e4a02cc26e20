// Package keepalive takes HTTP/1 connections out of a running http.Server
// without losing a byte, so that the next server can go on with them: a server
// in the process that replaces this one, or in the same process. The clients
// notice nothing. http.Server.Shutdown closes idle connections instead, and now
// and then loses the request that was on its way on one of them.
//
// A Tracker follows the connections of one server. Drain gives them away, and
// Adopt takes them in:
//
//	t := keepalive.New(&http.Server{Handler: h}, keepalive.Options{})
//	go t.Serve(ln)
//	...
//	err := t.Drain(ctx, func(c keepalive.Carried) error {
//		return send(c.Conn, c.ReadAhead) // to the next one, which calls its Adopt
//	})
//
// How a connection reaches another process is not this package's business:
// package handoff sends its descriptor, and the bytes read ahead with it.
//
// # What is carried
//
// A connection is carried if it stands between two requests, or in the middle of
// one that no handler has seen: then what was read of it travels along. A
// request whose handler has begun is answered first. This holds for any
// net.Conn, TCP or Unix.
//
// Not carried are
//   - TLS connections, since their keys stay in the process (see ServeTLS);
//   - HTTP/2 connections: the client is sent GOAWAY, with its next answer or when
//     no HTTP/1 connection is left, and connects anew;
//   - hijacked connections, such as WebSockets: they are their handler's;
//   - connections of which it is not certain that net/http holds nothing of
//     them back, for example after 'OPTIONS *', which no handler sees.
//
// An HTTP/1 connection that is not carried is finished: its next answer says
// 'Connection: close'. If no request comes for a while (Options.IdleGrace) it is
// closed; a request that the client sends in that very moment is lost, and
// clients know to repeat it (RFC 9112, section 9.3.1). Where nobody can take the
// connections, Drain with a nil take finishes all of them so.
//
// # How it works
//
// The Tracker puts a wrapper between net/http and each connection. It lets no
// Read cross the end of a message, so that the buffer of net/http is empty
// whenever the connection is idle; a check at each request confirms it, and a
// connection that fails it is finished instead of carried. To carry a connection
// the wrapper has net/http's Read end with a timeout, and from then on keeps
// from it whatever it does.
//
// Sendfile and splice work as without the wrapper. A hijacked connection has a
// method NetConn() net.Conn for the connection below, on which what the client
// has sent ahead may be missing: Read returns it first.
//
// An adopted connection is new to its server, for ConnState and ConnContext, but
// while no request has begun on it the server's IdleTimeout applies, and not
// ReadHeaderTimeout. Empty lines before its first request are skipped, as
// net/http does after a POST (RFC 9112, section 2.2).
package keepalive
