package main

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync/atomic"
)

// A client holds echo to its word on one connection: what comes back is what was
// sent, every byte once and in order, and after each line the checksum of all
// up to there.
type client struct {
	conn   net.Conn
	answer *bufio.Reader
	name   int
	sum    uint32 // of all the lines that were answered

	sent     atomic.Int64 // lines
	answered atomic.Int64
	bytes    atomic.Int64 // of the lines that were answered
}

func newClient(conn net.Conn, name int) *client {
	return &client{conn: conn, answer: bufio.NewReader(conn), name: name}
}

// line is the text of line n of a client: no two are the same, and their lengths
// differ, so that they end anywhere in a packet or a buffer.
func line(b []byte, client, n int) []byte {
	b = fmt.Appendf(b, "%d %d ", client, n)
	for range n * 7919 % 300 {
		b = append(b, byte('a'+n%26))
	}
	return append(b, '\n')
}

// ask sends one line more, and checks the answer.
func (c *client) ask() error {
	if err := c.send(1); err != nil {
		return err
	}
	return c.check()
}

// send sends n lines more, in one write.
func (c *client) send(n int) error {
	var b []byte
	first := int(c.sent.Load())
	for i := range n {
		b = line(b, c.name, first+i)
	}
	c.sent.Add(int64(n))
	if _, err := c.conn.Write(b); err != nil {
		return fmt.Errorf("client %d: send lines %d to %d: %w", c.name, first, first+n-1, err)
	}
	return nil
}

// check reads the answer to the next line. It may run beside send.
func (c *client) check() error {
	n := int(c.answered.Load())
	want := line(nil, c.name, n)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, want)
	size := len(want)
	want = fmt.Appendf(want, "%08x\n", c.sum)
	got := make([]byte, len(want))
	if k, err := io.ReadFull(c.answer, got); err != nil {
		return fmt.Errorf("client %d: the answer to line %d ended after %d of %d bytes: %w", c.name, n, k, len(want), err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("client %d: the answer to line %d is %q, want %q", c.name, n, got, want)
	}
	c.answered.Add(1)
	c.bytes.Add(int64(size))
	return nil
}

// stream sends without a pause, in a goroutine, until stop is closed. Its result
// is for finish.
func (c *client) stream(stop <-chan struct{}) <-chan error {
	sending := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				sending <- c.conn.(*net.TCPConn).CloseWrite()
				return
			default:
			}
			if err := c.send(32); err != nil {
				sending <- err
				return
			}
		}
	}()
	return sending
}

// finish checks the answers to a stream until the server hangs up, which it is to
// do when all lines are answered, and closes the connection.
func (c *client) finish(sending <-chan error) error {
	var err error
	for err == nil {
		if _, end := c.answer.Peek(1); end == io.EOF {
			break
		}
		err = c.check()
	}
	c.conn.Close() // if it was early, this ends the stream
	sent := <-sending
	if err == nil {
		err = sent
	}
	if sent, answered := c.sent.Load(), c.answered.Load(); err == nil && sent != answered {
		err = fmt.Errorf("client %d: the server hung up with %d of %d lines answered", c.name, answered, sent)
	}
	return err
}
