package keepalive

import "bytes"

// lineScanner finds the empty line that ends a header or the trailers. Like
// net/http it takes LF as well as CRLF for the end of a line. The zero value
// stands at the start of a line.
type lineScanner struct {
	at uint8
}

const (
	lineStart  uint8 = iota
	lineCR           // one CR since the start of the line
	lineInside       // something else since the start of the line
)

// scan consumes p up to and including the empty line and returns how much that
// was and whether the empty line was there; without it all of p is consumed.
func (s *lineScanner) scan(p []byte) (n int, end bool) {
	for n < len(p) {
		if s.at == lineInside {
			i := bytes.IndexByte(p[n:], '\n')
			if i < 0 {
				return len(p), false
			}
			n += i + 1
			s.at = lineStart
			continue
		}
		b := p[n]
		n++
		switch {
		case b == '\n':
			s.at = lineStart
			return n, true
		case b == '\r' && s.at == lineStart:
			s.at = lineCR
		default:
			s.at = lineInside
		}
	}
	return n, false
}

// headScanner finds the end of a request's header: the first empty line after
// the request line. CR and LF before the request line belong to no request:
// net/http skips a few of them after a POST and refuses the others.
type headScanner struct {
	lines   lineScanner
	started bool // the first byte of the request line has been seen
}

// scan consumes p up to the end of the header.
func (s *headScanner) scan(p []byte) (n int, end bool) {
	for !s.started {
		if n == len(p) {
			return n, false
		}
		if p[n] == '\r' || p[n] == '\n' {
			n++
			continue
		}
		s.started = true
		s.lines.at = lineInside
	}
	m, end := s.lines.scan(p[n:])
	return n + m, end
}

// chunkScanner finds the end of a chunked body, trailers included. It is as
// strict as it must be to agree with net/http on every body that net/http
// takes; what it lets pass beyond that, net/http refuses.
type chunkScanner struct {
	at     uint8
	digits uint8
	remain uint64 // of the chunk's data
	lines  lineScanner
}

const (
	chunkSize    uint8 = iota // in the hexadecimal digits
	chunkExt                  // behind them, up to the end of the line
	chunkData                 // in the data
	chunkCR                   // at the CR that ends the data
	chunkLF                   // at the LF that ends the data
	chunkTrailer              // behind the last chunk
)

// scan consumes p up to the end of the body. If ok is false this is no chunked
// body, and where it ends cannot be known.
func (s *chunkScanner) scan(p []byte) (n int, end, ok bool) {
	for n < len(p) {
		switch s.at {
		case chunkSize:
			d, hex := unhex(p[n])
			if !hex {
				if s.digits == 0 {
					return n, false, false
				}
				s.at = chunkExt
				continue
			}
			if s.digits == 16 {
				return n, false, false
			}
			s.digits++
			s.remain = s.remain<<4 | uint64(d)
			n++
		case chunkExt:
			i := bytes.IndexByte(p[n:], '\n')
			if i < 0 {
				return len(p), false, true
			}
			n += i + 1
			s.digits = 0
			s.at = chunkData
			if s.remain == 0 {
				s.at = chunkTrailer
			}
		case chunkData:
			if left := uint64(len(p) - n); left < s.remain {
				s.remain -= left
				return len(p), false, true
			}
			n += int(s.remain)
			s.remain = 0
			s.at = chunkCR
		case chunkCR:
			if p[n] != '\r' {
				return n, false, false
			}
			n++
			s.at = chunkLF
		case chunkLF:
			if p[n] != '\n' {
				return n, false, false
			}
			n++
			s.at = chunkSize
		case chunkTrailer:
			m, end := s.lines.scan(p[n:])
			return n + m, end, true
		}
	}
	return n, false, true
}

func unhex(b byte) (byte, bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
