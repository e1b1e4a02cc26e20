//go:build !linux

package control

import (
	"errors"
	"net"
	"os"
)

func listen(string) (*net.UnixListener, error) { return nil, errors.ErrUnsupported }

func fileListener(*os.File) (*net.UnixListener, string, error) {
	return nil, "", errors.ErrUnsupported
}

func peer(*net.UnixConn) (int, uint32, error) { return 0, 0, errors.ErrUnsupported }

func awaitHangUp(net.Conn) error { return errors.ErrUnsupported }
