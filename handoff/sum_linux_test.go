package handoff

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
)

// echoSum answers every 8 bytes, a number, with the sum of all numbers so far. Its
// state is the sum, what it has read of the next number, and what it has still to
// write.
func echoSum(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
	var sum uint64
	var in, out []byte
	if len(state) > 0 {
		sum = binary.BigEndian.Uint64(state)
		n := int(binary.BigEndian.Uint32(state[8:]))
		in, out = state[12:12+n:12+n], state[12+n:]
	}
	buf := make([]byte, 4096)
	for {
		for len(in) >= 8 {
			sum += binary.BigEndian.Uint64(in)
			in = in[8:]
			out = binary.BigEndian.AppendUint64(out, sum)
		}
		for len(out) > 0 {
			n, err := c.Write(out)
			out = out[n:]
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
				return sumState(sum, in, out), ErrCarry
			}
			if err != nil {
				return nil, err
			}
		}
		n, err := c.Read(buf)
		in = append(in, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			return sumState(sum, in, out), ErrCarry
		}
		if err != nil {
			return nil, err
		}
	}
}

// sumState is the state of echoSum.
func sumState(sum uint64, in, out []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, sum)
	b = binary.BigEndian.AppendUint32(b, uint32(len(in)))
	return append(append(b, in...), out...)
}

// A summer is a client of echoSum that checks every answer.
type summer struct {
	net.Conn
	r    *bufio.Reader
	next uint64
	sum  uint64
}

func newSummer(c net.Conn) *summer { return &summer{Conn: c, r: bufio.NewReader(c)} }

// step sends a number and checks the answer.
func (s *summer) step() error {
	s.next++
	s.SetDeadline(time.Now().Add(poll.Patience))
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, s.next)); err != nil {
		return err
	}
	s.sum += s.next
	var b [8]byte
	if _, err := io.ReadFull(s.r, b[:]); err != nil {
		return fmt.Errorf("after %d numbers: %w", s.next, err)
	}
	if got := binary.BigEndian.Uint64(b[:]); got != s.sum {
		return fmt.Errorf("after %d numbers the sum is %d, want %d", s.next, got, s.sum)
	}
	return nil
}
