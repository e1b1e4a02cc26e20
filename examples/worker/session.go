package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

const (
	maxUnderWay  = 64          // jobs of one client; it is not read from while it has as many
	writeTimeout = time.Minute // of a client that does not read
)

// A session is a client's connection.
type session struct {
	ctx  context.Context
	conn net.Conn
	do   func(ctx context.Context, job string) (answer string, err error)
	jobs sync.WaitGroup
	room chan struct{}

	mu     sync.Mutex
	undone []byte // lines with jobs that no worker has done
	unsent []byte // lines with answers
	err    error  // the client is gone
}

// serve is the handoff.ConnFunc of this program: it serves one client, who has just come
// or whom the dispatcher before has left behind. What it leaves is the jobs that were not
// done, and the answers that were not sent.
func serve(ctx context.Context, c net.Conn, left []byte, do func(context.Context, string) (string, error)) (leave []byte, err error) {
	s := &session{ctx: ctx, conn: c, do: do, room: make(chan struct{}, maxUnderWay)}
	var lines []byte
	if left != nil {
		if lines, err = s.unmarshal(left); err != nil {
			return nil, fmt.Errorf("%w: %w", handoff.ErrRefused, err)
		}
		if len(s.unsent) > 0 {
			s.answer("")
		}
	}
	unread, err := s.read(lines, c)
	s.jobs.Wait()
	if ctx.Err() != nil && s.err == nil {
		// The drain cuts writes short, but there may well be room for the answers now.
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		n, _ := c.Write(s.unsent)
		s.unsent = s.unsent[n:]
	}
	// A client that has sent all of its jobs may wait for answers all the same.
	carry := err == nil || errors.Is(err, os.ErrDeadlineExceeded) || err == io.EOF && len(s.undone)+len(s.unsent) > 0
	if !carry || s.err != nil {
		if err == io.EOF {
			err = nil
		}
		return nil, errors.Join(err, s.err)
	}
	return s.marshal(unread), handoff.ErrCarry
}

// read has the jobs done that are left, and those of in, until there are no more, which
// is an error, or the drain begins. It returns what it has read and not begun.
func (s *session) read(left []byte, in io.Reader) (unread []byte, err error) {
	before := bytes.NewReader(left)
	lines := bufio.NewReaderSize(io.MultiReader(before, in), maxLine)
	rest := func(line string) []byte {
		buffered, _ := lines.Peek(lines.Buffered())
		return slices.Concat([]byte(line), buffered, left[len(left)-before.Len():])
	}
	for err == nil {
		select {
		case s.room <- struct{}{}:
		case <-s.ctx.Done():
		}
		// The connection's deadline may come later: a client that sends on and on must
		// not fill the memory, and then the parcel, until then.
		if s.ctx.Err() != nil {
			return rest(""), nil
		}
		var b []byte
		b, err = lines.ReadSlice('\n')
		line := string(b)
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a line that is too long
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return rest(line), err
		}
		if line == "" {
			break
		}
		s.jobs.Go(func() {
			s.serve(line)
			<-s.room
		})
	}
	return nil, err
}

// serve has one job done.
func (s *session) serve(line string) {
	id, job, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	if len(line) == maxLine && !strings.HasSuffix(line, "\n") {
		s.answer(fmt.Sprintf("- %s a line is longer than %d bytes\n", wordFailed, maxLine))
		return
	}
	if id == "" {
		s.answer(fmt.Sprintf("- %s a line has no identifier\n", wordFailed))
		return
	}
	answer, err := s.do(s.ctx, job)
	if !errors.Is(err, errNotDone) {
		s.answer(id + " " + answerLine(answer, err) + "\n")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undone = fmt.Appendf(s.undone, "%s %s\n", id, job)
}

// answer sends a line, after those that were not sent. While the client does not read it
// waits, and so do those of the client's other jobs, and then the reading.
func (s *session) answer(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stalled := len(s.unsent) > 0 && s.ctx.Err() != nil // or each answer would hold up the drain
	s.unsent = append(s.unsent, line...)
	if s.err != nil || stalled {
		return
	}
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := s.conn.Write(s.unsent)
	s.unsent = s.unsent[n:]
	if err != nil && s.ctx.Err() == nil {
		s.err = err
		s.conn.Close() // which ends the reading
	}
}

// format begins a marshaled session. The process that reads it may be an older or a newer
// program than the one that wrote it.
const format = 1

func (s *session) marshal(unread []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{format}, uint32(len(s.unsent)))
	b = append(b, s.unsent...)
	b = append(b, s.undone...)
	return append(b, unread...)
}

// unmarshal returns what is to be read before the connection.
func (s *session) unmarshal(b []byte) (lines []byte, err error) {
	const head = 5
	if len(b) < head || b[0] != format {
		return nil, fmt.Errorf("a session of %d bytes that begins with %.1q, want format %d", len(b), b, format)
	}
	n, b := binary.BigEndian.Uint32(b[1:]), b[head:]
	if uint64(n) > uint64(len(b)) {
		return nil, fmt.Errorf("a session with %d bytes of answers has %d", n, len(b))
	}
	s.unsent = bytes.Clone(b[:n])
	return b[n:], nil
}
