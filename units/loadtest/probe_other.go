//go:build !unix

package loadtest

import "net"

// probe cannot ask here: what the server closed while a connection was idle is
// found by the next request on it, and counted as Stale.
func probe(net.Conn) pending { return nothing }
