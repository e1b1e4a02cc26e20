package keepalive

import "net/http"

// A framer follows the requests on one connection, so that no Read of net/http
// crosses the end of a message. Were a Read to cross it, net/http's
// bufio.Reader would hold the start of the next request when the connection is
// idle, where nobody can get at it.
//
// It parses as little as it can: the end of the header by its empty line, and
// from there on what net/http itself made of the header.
type framer struct {
	phase  phase
	scan   headScanner
	chunks chunkScanner
	remain int64 // bytes of the body that net/http has not been given yet

	// head is what net/http has been given of a request whose header is not
	// complete. While an earlier request is being handled it holds the byte
	// that net/http's background reader took.
	head []byte
}

type phase uint8

const (
	phaseHead    phase = iota // in a request's header, or before its first byte
	phaseFraming              // behind the header, and how long the body is only net/http knows
	phaseBody                 // in a body of known length
	phaseChunks               // in a chunked body
	phaseDone                 // net/http has the whole request, and has not gone idle since
	phaseOpaque               // where messages end is not known (any more)
)

// want returns how much a Read for size bytes may ask the connection for. It
// gives up on a Read that a framed connection does not do.
func (f *framer) want(size int) int {
	switch f.phase {
	case phaseFraming, phaseDone:
		// Only net/http's background reader reads here. It asks for one byte,
		// once, and this byte opens the next request.
		if size != 1 || len(f.head) > 0 {
			f.lose()
		}
	case phaseBody:
		return int(min(int64(size), f.remain))
	}
	return size
}

// advance moves over p, which is no longer than want has said, and returns how
// much of it net/http may see now.
func (f *framer) advance(p []byte) (n int) {
	switch f.phase {
	case phaseHead:
		n, end := f.scan.scan(p)
		if end {
			f.scan = headScanner{}
			f.head = nil
			f.phase = phaseFraming
		} else {
			f.head = append(f.head, p...)
		}
		return n
	case phaseFraming, phaseDone:
		f.scan.scan(p[:1])
		f.head = append(f.head, p[0])
		return 1
	case phaseBody:
		n := int(min(int64(len(p)), f.remain))
		if f.remain -= int64(n); f.remain == 0 {
			f.phase = phaseDone
		}
		return n
	case phaseChunks:
		n, end, ok := f.chunks.scan(p)
		switch {
		case !ok:
			f.lose()
			return len(p)
		case end:
			f.phase = phaseDone
		}
		return n
	}
	return len(p)
}

// begin says what net/http made of the header: called when the handler starts.
func (f *framer) begin(r *http.Request) {
	if f.phase != phaseFraming {
		return // the handler was entered again for the same request
	}
	switch {
	case r.ProtoMajor != 1:
		f.lose()
	case r.ContentLength > 0:
		f.phase, f.remain = phaseBody, r.ContentLength
	case r.ContentLength == 0:
		f.phase = phaseDone
	case len(r.TransferEncoding) == 1 && r.TransferEncoding[0] == "chunked":
		f.phase, f.chunks = phaseChunks, chunkScanner{}
	default:
		f.lose()
	}
}

// idle says that net/http waits for the next request. If it does so before it
// has read the whole of the last one, or without having asked the handler
// (OPTIONS *), the end of that one is not known.
func (f *framer) idle() {
	if f.phase == phaseDone {
		f.phase = phaseHead
		return
	}
	f.lose()
}

// lose gives up on knowing where messages end.
func (f *framer) lose() {
	f.phase = phaseOpaque
	f.head = nil
}

// between reports whether the connection stands between two requests, or
// before the first.
func (f *framer) between() bool {
	return f.phase == phaseHead && !f.scan.started
}
