package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net"
	"os"
	"slices"

	"github.com/holdfast-go/holdfast/handoff"
)

// serve is the handoff.ConnFunc of this program: it serves one connection,
// whether a client has just made it or the process before has left it behind.
func serve(ctx context.Context, c net.Conn, left []byte) (leave []byte, err error) {
	var s session
	if left != nil {
		if s, err = parseSession(left); err != nil {
			slog.Error("cannot go on with a connection", "client", c.RemoteAddr(), "error", err)
			return nil, err
		}
	}
	buf := make([]byte, 4096)
	for err == nil {
		var n int
		if len(s.unsent) > 0 {
			n, err = c.Write(s.unsent)
			s.unsent = slices.Delete(s.unsent, 0, n)
		} else {
			n, err = c.Read(buf)
			s.receive(buf[:n])
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // only the drain sets deadlines
		return s.marshal(), handoff.ErrCarry
	}
	return nil, err // the client has closed the connection, or broken it
}

// A session is what a connection needs to go on: all that serve knows.
type session struct {
	sum    uint32 // checksum (CRC-32) of all that was received
	unsent []byte // of the answer to that
}

// receive takes b in, and adds the answer to what is unsent.
func (s *session) receive(b []byte) {
	newline := []byte("\n")
	for line := range bytes.SplitAfterSeq(b, newline) { // the last may go on in the next b
		s.sum = crc32.Update(s.sum, crc32.IEEETable, line)
		s.unsent = append(s.unsent, line...)
		if bytes.HasSuffix(line, newline) {
			s.unsent = fmt.Appendf(s.unsent, "%08x\n", s.sum)
		}
	}
}

// format begins a marshaled session. The process that reads it may be an older
// or a newer program than the one that wrote it.
const format = 1

func (s *session) marshal() []byte {
	b := binary.BigEndian.AppendUint32([]byte{format}, s.sum)
	return append(b, s.unsent...)
}

func parseSession(b []byte) (session, error) {
	const head = 5
	switch {
	case len(b) < head:
		return session{}, fmt.Errorf("echo: a session of %d bytes, want at least %d", len(b), head)
	case b[0] != format:
		return session{}, fmt.Errorf("echo: a session of format %d, and this program reads %d", b[0], format)
	}
	return session{sum: binary.BigEndian.Uint32(b[1:head]), unsent: bytes.Clone(b[head:])}, nil
}
