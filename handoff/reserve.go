package handoff

import "os"

// A reserve is descriptors that are kept for the drain. A service whose clients
// have taken all that the process may have could else make no parcel for them.
type reserve []*os.File

// reserved is enough for a parcel and the barrier behind it.
const reserved = 4

// fill takes the descriptors, as far as there are any.
func (r *reserve) fill() {
	for range reserved {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		*r = append(*r, f)
	}
}

// release makes room for as many others. Nothing is accepted any more by then.
func (r *reserve) release() {
	for _, f := range *r {
		f.Close()
	}
	*r = nil
}
