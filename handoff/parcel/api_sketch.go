package parcel

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// WriterOptions say how a parcel is filled. The zero value is for one that
// nobody reads until its writer has gone, as across a restart.
type WriterOptions struct {
	// Live says that a reader empties the parcel while it is being filled, as
	// across a reload. An entry is then sent within FlushDelay of its Put, and a
	// full queue is waited for.
	Live bool

	// Timeout bounds each wait for a live reader to make room; 0 is 10 s. The end
	// of the context ends it too.
	Timeout time.Duration

	// SendBuffer is the size asked for the queue, in bytes; 0 is 8 MiB.
	SendBuffer int

	// MaxPayload is the largest payload of an entry, in bytes; 0 is
	// DefaultMaxPayload.
	MaxPayload int64
}

// A Writer fills a parcel. Its methods may be called by several goroutines.
type Writer struct{}

// New makes a parcel: a writer for its one end, and the read end, which the
// caller stores or passes on, and closes.
func New(o WriterOptions) (*Writer, *os.File, error) { return nil, nil, errors.ErrUnsupported }

// Put takes e, to be sent with the entries before and after it, and returns
// before it has been sent. When an error is returned e was not taken.
func (w *Writer) Put(ctx context.Context, e Entry) error { return errors.ErrUnsupported }

// Flush sends what Put has taken. What could not be sent stays, to be tried
// again by the next Flush.
func (w *Writer) Flush(ctx context.Context) error { return errors.ErrUnsupported }

// Close flushes, writes the END record and closes the write end, always. What
// could not be sent goes back to the caller by Done with the error.
func (w *Writer) Close(ctx context.Context) error { return errors.ErrUnsupported }

// Abandon closes the write end without an END record: the reader gets what was
// sent and then ErrTruncated.
func (w *Writer) Abandon() {}

// Sent returns what is in the parcel, or has been.
func (w *Writer) Sent() Counts { return Counts{} }

// ReaderOptions say how a parcel is read. The zero value works.
type ReaderOptions struct {
	// MaxPayload is the largest payload of an entry that is accepted, in bytes;
	// 0 is DefaultMaxPayload.
	MaxPayload int64
}

// A Reader takes entries out of a parcel. One goroutine reads; Close may be
// called by any.
type Reader struct{}

// NewReader reads from f, the read end of a parcel. It works on a copy: f stays
// the caller's.
func NewReader(f *os.File, o ReaderOptions) (*Reader, error) { return nil, errors.ErrUnsupported }

// Contents is what Peek found.
type Contents struct {
	Counts          // what waits in the parcel
	Complete bool   // the END record is there
	Taken    Counts // what had been taken out before
}

// Peek checks every message that waits in the parcel, calls visit for each
// entry, and takes nothing out.
func (r *Reader) Peek(visit func(kind, name string, payload []byte) error) (Contents, error) {
	return Contents{}, errors.ErrUnsupported
}

// Receive takes the next message out of the parcel, and returns its entries,
// one at least. It waits for one until ctx ends. After the END record it returns
// io.EOF; where the writer ended without one, ErrTruncated; where another reader
// had taken entries, ErrTaken.
func (r *Reader) Receive(ctx context.Context) ([]*Item, error) { return nil, errors.ErrUnsupported }

// Received returns what this reader has taken out.
func (r *Reader) Received() Counts { return Counts{} }

// Close closes the reader's copy of the read end.
func (r *Reader) Close() error { return errors.ErrUnsupported }

// Drained reports whether nothing is left in a parcel and its writer has gone:
// whoever keeps a copy of the read end may close it.
func Drained(f *os.File) (bool, error) { return false, errors.ErrUnsupported }

// An Item is an entry taken out of a parcel. It owns its descriptors until they
// are taken, or it is closed.
type Item struct {
	Kind, Name string
	Payload    []byte
}

// Len returns the number of descriptors.
func (it *Item) Len() int { return 0 }

// Conn takes descriptor i, a connected stream socket, as a Conn.
func (it *Item) Conn(i int) (*Conn, error) { return nil, errors.ErrUnsupported }

// NetConn takes descriptor i as the connection type of package net:
// *net.TCPConn, *net.UnixConn, *net.UDPConn, with its socket options unchanged.
func (it *Item) NetConn(i int) (net.Conn, error) { return nil, errors.ErrUnsupported }

// File takes descriptor i as a file.
func (it *Item) File(i int) (*os.File, error) { return nil, errors.ErrUnsupported }

// Entry makes an entry of the item as it stands, to be put into another parcel.
// The item keeps its descriptors: close it when Done is called.
func (it *Item) Entry() Entry { return Entry{} }

// Close closes the descriptors that were not taken.
func (it *Item) Close() error { return nil }

// Conn is a connected stream socket that cost little to adopt: a net.Conn with
// CloseRead, CloseWrite, ReadFrom (sendfile) and SyscallConn.
type Conn struct{ net.Conn }

// A Delivery is one thing that the manager passes on to a running generation.
type Delivery struct {
	ID    uint64     // acknowledge it by Taken; 0 with Owned
	Name  string     // as FDNAME= had it, valid as in LISTEN_FDNAMES
	Files []*os.File // the receiver's, to close
	Owned bool       // no delivery but the word that no predecessor holds anything any more
}

// An Intake is a generation's end of HANDOFF_SOCKET: what is stored for it
// after its start arrives there.
type Intake struct{}

// OpenIntake takes the socket that HANDOFF_SOCKET names, and unsets the
// variable. Without the variable it returns (nil, nil): there is no manager
// that delivers, and nothing will come.
func OpenIntake() (*Intake, error) { return nil, errors.ErrUnsupported }

// NewIntake works on f, the generation's end, and takes it.
func NewIntake(f *os.File) (*Intake, error) { return nil, errors.ErrUnsupported }

// Next waits for the next delivery, in the manager's order. io.EOF: the manager
// has gone, and nothing more comes.
func (in *Intake) Next(ctx context.Context) (*Delivery, error) { return nil, errors.ErrUnsupported }

// Taken tells the manager that the generation has what delivery id carried, and
// that the manager may close its copy. For a parcel this is when its END record
// has been consumed.
func (in *Intake) Taken(ctx context.Context, id uint64) error { return errors.ErrUnsupported }

// Close closes the socket. A Next that waits returns ErrClosed.
func (in *Intake) Close() error { return errors.ErrUnsupported }

// A Deliverer is a manager's end of HANDOFF_SOCKET, for one generation.
type Deliverer struct{}

// NewDeliverer makes both ends: the child's is inherited by the generation
// under the number that HANDOFF_SOCKET names, and is then the caller's to close.
func NewDeliverer() (d *Deliverer, child *os.File, err error) {
	return nil, nil, errors.ErrUnsupported
}

// ResumeDeliverer takes f, a manager's end that was carried over the manager's
// own replacement; last is the last delivery's ID.
func ResumeDeliverer(f *os.File, last uint64) (*Deliverer, error) {
	return nil, errors.ErrUnsupported
}

// Deliver sends files under name and returns the delivery's ID. The files stay
// the caller's, who keeps them until Next has returned the ID.
func (d *Deliverer) Deliver(ctx context.Context, name string, files ...*os.File) (uint64, error) {
	return 0, errors.ErrUnsupported
}

// Owned tells the generation that no predecessor holds anything any more.
func (d *Deliverer) Owned(ctx context.Context) error { return errors.ErrUnsupported }

// Next waits for the next acknowledged delivery, and returns its ID. io.EOF:
// the generation has closed its end.
func (d *Deliverer) Next(ctx context.Context) (uint64, error) { return 0, errors.ErrUnsupported }

// Dup returns a copy of the manager's end, to be carried over an exec.
func (d *Deliverer) Dup() (*os.File, error) { return nil, errors.ErrUnsupported }

// Close closes the manager's end.
func (d *Deliverer) Close() error { return errors.ErrUnsupported }
