//go:build !linux

package parcel

import (
	"errors"
	"io"
	"net"
	"os"
)

// Parcels are a thing of Linux. Elsewhere every way to one ends here.

func newPair() (*endpoint, *os.File, error) { return nil, nil, errors.ErrUnsupported }
func dupSocket(int) (*os.File, error)       { return nil, errors.ErrUnsupported }

func adoptSocket(int) (*os.File, error)                    { return nil, errors.ErrUnsupported }
func sendMessage(int, []byte, []int) error                 { return errors.ErrUnsupported }
func peekMessage(int, []byte, int) (message, error)        { return message{}, errors.ErrUnsupported }
func dropMessage(int, []byte) (int, error)                 { return 0, errors.ErrUnsupported }
func setPeekOffset(fd, offset int) error                   { return errors.ErrUnsupported }
func drained(int) (bool, error)                            { return false, errors.ErrUnsupported }
func newMemfd([][]byte) (int, error)                       { return -1, errors.ErrUnsupported }
func mapMemfd(int, int64) ([]byte, func(), error)          { return nil, nil, errors.ErrUnsupported }
func raiseSendBuffer(fd, size int) (int, error)            { return 0, errors.ErrUnsupported }
func fileLimit(op string) error                            { return errors.ErrUnsupported }
func sendLimit(_ int, _ string, _ Counts, err error) error { return err }

func closeAll([]int)             {}
func tooManyInFlight(error) bool { return false }
func wouldBlock(error) bool      { return false }
func growTable(int, int64)       {}

func roomFor(int64) error                               { return errors.ErrUnsupported }
func newNetConn(int) (net.Conn, error)                  { return nil, errors.ErrUnsupported }
func pollSocket(int) (*os.File, error)                  { return nil, errors.ErrUnsupported }
func shutdownRead(int) error                            { return errors.ErrUnsupported }
func shutdownWrite(int) error                           { return errors.ErrUnsupported }
func addresses(int) (local, remote net.Addr)            { return &net.TCPAddr{}, &net.TCPAddr{} }
func sendFile(*os.File, io.Reader) (int64, bool, error) { return 0, false, errors.ErrUnsupported }
