package fdstore

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// SpareDescriptors are descriptors that are kept for the drain. A service whose clients
// have taken all that the process may have could else make no parcel for them. The zero
// value has none.
type SpareDescriptors []*os.File

// spare is enough for a parcel, the barrier behind it, and the ballast.
const spare = 8

// Fill takes the descriptors, as far as there are any.
func (s *SpareDescriptors) Fill() {
	for range spare {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		*s = append(*s, f)
	}
}

// Release makes room for as many others. Nothing is accepted any more by then.
func (s *SpareDescriptors) Release() {
	fd.CloseAll(*s)
	*s = nil
}

// ballast puts descriptors in flight until it is released. The kernel lets a user
// without privileges have as many in flight as RLIMIT_NOFILE says, one message
// beyond that, and from then on none: connections that come first would leave no
// room for the states and the barrier that come last. Where there is no room for
// the ballast either, there is less of it.
func ballast(ctx context.Context) (release func()) {
	w, readEnd, err := parcel.New(parcel.WriterOptions{})
	if err != nil {
		return func() {}
	}
	release = func() {
		w.Abandon()
		readEnd.Close()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return release
	}
	defer null.Close()
	for _, n := range []int{parcel.MaxDescriptors, spare} {
		e := parcel.Entry{Descriptors: slices.Repeat([]syscall.Conn{null}, n)}
		if errors.Join(w.Put(ctx, e), w.Flush(ctx)) != nil {
			break
		}
	}
	return release
}
