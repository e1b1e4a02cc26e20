package activation

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// isStale tells whether a bind to address failed because of a Unix socket file
// at which nobody listens any more.
func isStale(ctx context.Context, network, address string, bindErr error) bool {
	if network != "unix" && network != "unixpacket" || !errors.Is(bindErr, unix.EADDRINUSE) {
		return false
	}
	if fi, err := os.Lstat(address); err != nil || fi.Mode()&fs.ModeSocket == 0 {
		return false
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, unix.ECONNREFUSED)
}
