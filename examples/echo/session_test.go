package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

// served is one run of serve, on one end of a pipe.
type served struct {
	left []byte
	err  error
}

// start serves a new pipe, of which it returns the client's end. drain ends the
// run as a Carrier does.
func start(t *testing.T, state []byte) (client net.Conn, ended <-chan served, drain func()) {
	t.Helper()
	client, server := net.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan served, 1)
	go func() {
		defer server.Close()
		left, err := serve(ctx, server, state)
		done <- served{left, err}
	}()
	t.Cleanup(func() { client.Close() })
	return client, done, func() {
		cancel(handoff.ErrDraining)
		server.SetDeadline(time.Unix(1, 0))
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q and %v, want %q", got[:n], err, want)
	}
}

// answerTo is what echo answers to all of text, sent from the start.
func answerTo(text string) string {
	var b strings.Builder
	for end := range len(text) {
		b.WriteByte(text[end])
		if text[end] == '\n' {
			fmt.Fprintf(&b, "%08x\n", crc32.ChecksumIEEE([]byte(text[:end+1])))
		}
	}
	return b.String()
}

func TestSession(t *testing.T) {
	text := "hello\n" + "\n\n" + "ends\r\n" + strings.Repeat("long ", 5000) + "\n" + "not ended"
	for _, size := range []int{1, 7, len(text)} {
		synctest.Test(t, func(t *testing.T) {
			c, ended, _ := start(t, nil)
			go func() {
				for i := 0; i < len(text); i += size {
					io.WriteString(c, text[i:min(i+size, len(text))])
				}
			}()
			read(t, c, answerTo(text))
			c.Close()
			if end := <-ended; end.err != io.EOF || end.left != nil {
				t.Errorf("written by %d bytes: serve ended with %q and %v, want nothing and EOF", size, end.left, end.err)
			}
		})
	}
	if want := "hello\n363a3020\n"; answerTo("hello\n") != want {
		t.Errorf("the test itself expects %q, want %q as the package comment has it", answerTo("hello\n"), want)
	}
}

// Wherever the drain falls, in a read or in a write, the next process goes on as
// if nothing had been.
func TestDrainAnywhere(t *testing.T) {
	const text = "first\nsecond\nthird and last\n"
	want := answerTo(text)
	inWrite := 0
	for sent := range len(text) + 1 {
		for got := range len(answerTo(text[:sent])) + 1 {
			synctest.Test(t, func(t *testing.T) {
				c, ended, drain := start(t, nil)
				if sent > 0 {
					io.WriteString(c, text[:sent])
				}
				read(t, c, want[:got])
				synctest.Wait() // it waits, for bytes or for the client
				drain()
				end := <-ended
				if !errors.Is(end.err, handoff.ErrCarry) {
					t.Fatalf("serve ended with %v, want ErrCarry", end.err)
				}
				s, err := parseSession(end.left)
				if err != nil {
					t.Fatal(err)
				}
				if len(s.unsent) > 0 {
					inWrite++
				}

				c, _, _ = start(t, end.left)
				go io.WriteString(c, text[sent:])
				read(t, c, want[got:])
			})
		}
	}
	if inWrite == 0 {
		t.Error("no drain fell in a write")
	}
}

func TestSessionOfAnother(t *testing.T) {
	for _, c := range []struct {
		left []byte
		want string
	}{
		{[]byte{}, "a session of 0 bytes, want at least 5"},
		{[]byte{format, 0, 0, 0}, "a session of 4 bytes, want at least 5"},
		{[]byte{format + 1, 0, 0, 0, 0}, "a session of format 2, and this program reads 1"},
	} {
		conn, ended, _ := start(t, c.left)
		if end := <-ended; end.err == nil || !strings.Contains(end.err.Error(), c.want) || errors.Is(end.err, handoff.ErrCarry) {
			t.Errorf("%v: serve ended with %v, want %q", c.left, end.err, c.want)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v: the client reads %v, want EOF", c.left, err)
		}
	}
}

func FuzzParseSession(f *testing.F) {
	f.Add([]byte(nil))
	f.Add((&session{}).marshal())
	f.Add((&session{sum: 0x363a3020, unsent: []byte("o\n363a3020\n")}).marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSession(b)
		if err == nil && !bytes.Equal(s.marshal(), b) {
			t.Errorf("%x is marshaled as %x", b, s.marshal())
		}
	})
}

// What one read brings must not grow beyond bounds in the answer.
func TestUnsentIsBounded(t *testing.T) {
	var s session
	s.receive(bytes.Repeat([]byte("\n"), 4096))
	if n := len(s.unsent); n != 10*4096 {
		t.Errorf("the answer to 4096 line feeds is %d bytes, want 10 to each", n)
	}
}
