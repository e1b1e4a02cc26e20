package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// pair returns both ends of a connection.
func pair(t testing.TB) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// upper does a job by writing it large, and no job once ctx has ended.
func upper(ctx context.Context, job string) (string, error) {
	switch {
	case ctx.Err() != nil || job == "wait" && waitFor(ctx):
		return "", errNotDone
	case job == "fail":
		return "", errors.New("it does\nnot work")
	case job == "nonsense":
		return "nonsense", nil
	}
	return wordOK + " " + strings.ToUpper(job), nil
}

func waitFor(ctx context.Context) bool { <-ctx.Done(); return true }

// sorted are the lines of b in their order, since jobs become done in any.
func sorted(b []byte) string {
	lines := strings.SplitAfter(string(b), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestSession(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"1 a\n2 b c\r\n3  d\n", "1 ok A\n2 ok B C\n3 ok  D\n"},
		{"1 without a newline", "1 ok WITHOUT A NEWLINE\n"},
		{"\n", "- failed a line has no identifier\n"},
		{" a\n", "- failed a line has no identifier\n"},
		{"1\n", "1 ok \n"},
		{"1 fail\n", "1 failed it does not work\n"},
		{"1 nonsense\n", "1 failed the worker says nonsense\n"},
		{long + long + "\n1 a\n", "- failed a line is longer than 4096 bytes\n1 ok A\n"},
		{long, "- failed a line is longer than 4096 bytes\n"},
		{long[:maxLine-1] + "\n", long[:maxLine-1] + " ok \n"},
		{strings.Repeat("1 a\n", 1000), strings.Repeat("1 ok A\n", 1000)},
	} {
		leaktest.Check(t)
		ours, theirs := pair(t)
		served := make(chan error)
		go func() {
			_, err := serve(t.Context(), ours, nil, upper)
			ours.Close()
			served <- err
		}()
		go func() {
			io.WriteString(theirs, c.in)
			theirs.CloseWrite()
		}()
		got, err := io.ReadAll(theirs)
		if sorted(got) != c.want || err != nil {
			t.Errorf("%.40q: %.80q, %v, want %.80q", c.in, sorted(got), err, c.want)
		}
		if err := <-served; err != nil {
			t.Errorf("%.40q: served with %v", c.in, err)
		}
		theirs.Close()
	}
}

// TestSessionGoesOn: whatever has not been done when the generation drains is done, and
// answered once, by the next.
func TestSessionGoesOn(t *testing.T) {
	leaktest.Check(t)
	ours, theirs := pair(t)
	const sent = "1 a\n2 wait\n3 wait\n4 partial"
	io.WriteString(theirs, sent)
	ctx, drain := context.WithCancelCause(t.Context())
	var begun atomic.Int32
	type result struct {
		left []byte
		err  error
	}
	results := make(chan result)
	go func() {
		left, err := serve(ctx, ours, nil, func(ctx context.Context, job string) (string, error) {
			begun.Add(1)
			return upper(ctx, job)
		})
		results <- result{left, err}
	}()
	first := make([]byte, len("1 ok A\n"))
	if _, err := io.ReadFull(theirs, first); err != nil || string(first) != "1 ok A\n" {
		t.Fatalf("%q, %v", first, err)
	}
	exampletest.WaitFor(t, exampletest.Deadline(t), "all jobs", func() bool { return begun.Load() == 3 })
	drain(handoff.ErrDraining)
	ours.SetDeadline(time.Unix(1, 0))
	r := <-results
	if !errors.Is(r.err, handoff.ErrCarry) {
		t.Fatalf("error %v, want ErrCarry", r.err)
	}

	ours.SetDeadline(time.Time{})
	go func() {
		_, err := serve(t.Context(), ours, r.left, func(_ context.Context, job string) (string, error) { return wordOK + " " + job, nil })
		ours.Close()
		results <- result{nil, err}
	}()
	io.WriteString(theirs, " line\n5 b\n")
	theirs.CloseWrite()
	got, err := io.ReadAll(theirs)
	if want := "2 ok wait\n3 ok wait\n4 ok partial line\n5 ok b\n"; sorted(got) != want || err != nil {
		t.Errorf("%q, %v, want %q", sorted(got), err, want)
	}
	if r := <-results; r.err != nil {
		t.Error(r.err)
	}
}

// TestDrainStopsReading: what a client leaves is bounded, though it sends on and the
// connection's deadline comes late, and nothing of it is lost.
func TestDrainStopsReading(t *testing.T) {
	ctx, drain := context.WithCancel(t.Context())
	var begun atomic.Int32
	var in strings.Builder
	const lines = 10_000
	for i := range lines {
		fmt.Fprintf(&in, "%d x\n", i)
	}
	do := func(ctx context.Context, _ string) (string, error) {
		if begun.Add(1) == maxUnderWay {
			drain()
		}
		<-ctx.Done()
		return "", errNotDone
	}
	s := &session{ctx: ctx, do: do, room: make(chan struct{}, maxUnderWay)}
	left, rest := in.String()[:20_000], strings.NewReader(in.String()[20_000:])
	unread, err := s.read([]byte(left), rest)
	s.jobs.Wait()
	if n := begun.Load(); n != maxUnderWay || err != nil {
		t.Errorf("%d jobs were begun, want %d; %v", n, maxUnderWay, err)
	}
	sent, _ := io.ReadAll(rest)
	if got := slices.Concat(s.undone, unread, sent); sorted(got) != sorted([]byte(in.String())) {
		t.Errorf("%d bytes of %d are left, or others", len(got), in.Len())
	}
}

// TestDrainDoesNotWait: a client that does not read holds up the drain once, not with each
// answer, and nothing is left out.
func TestDrainDoesNotWait(t *testing.T) {
	ctx, drain := context.WithCancel(t.Context())
	drain()
	var full stuffed
	s := &session{ctx: ctx, conn: &full}
	for range 10 {
		s.answer("1 ok\n")
	}
	if want := strings.Repeat("1 ok\n", 10); full.writes != 1 || string(s.unsent) != want[1:] {
		t.Errorf("%d writes, and %q is left", full.writes, s.unsent)
	}
}

// stuffed is the connection of a client that does not read.
type stuffed struct {
	lines
	writes int
}

func (s *stuffed) Write([]byte) (int, error) {
	s.writes++
	return 1, os.ErrDeadlineExceeded
}

// TestHalfClosed: a client that has sent all of its jobs still gets its answers after the
// drain.
func TestHalfClosed(t *testing.T) {
	leaktest.Check(t)
	ours, theirs := pair(t)
	ctx, drain := context.WithCancelCause(t.Context())
	io.WriteString(theirs, "1 wait\n")
	theirs.CloseWrite()
	begun := make(chan struct{})
	go func() {
		<-begun
		drain(handoff.ErrDraining)
	}()
	left, err := serve(ctx, ours, nil, func(ctx context.Context, job string) (string, error) {
		close(begun)
		return upper(ctx, job)
	})
	if !errors.Is(err, handoff.ErrCarry) {
		t.Fatalf("error %v, want ErrCarry", err)
	}
	ours.SetDeadline(time.Time{})
	go func() {
		serve(t.Context(), ours, left, func(context.Context, string) (string, error) { return "ok done", nil })
		ours.Close()
	}()
	if got, err := io.ReadAll(theirs); string(got) != "1 ok done\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRefusedSession(t *testing.T) {
	for _, left := range []string{"", "\x01", "\x02\x00\x00\x00\x00", "\x01\x00\x00\x00\x01"} {
		ours, _ := pair(t)
		if _, err := serve(t.Context(), ours, []byte(left), upper); !errors.Is(err, handoff.ErrRefused) {
			t.Errorf("%q: error %v, want ErrRefused", left, err)
		}
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x021\n2 b\n"))
	f.Add([]byte("\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s session
		lines, err := s.unmarshal(b)
		if err != nil {
			return
		}
		if again := s.marshal(lines); !bytes.Equal(again, b) {
			t.Errorf("%q is marshaled as %q", b, again)
		}
	})
}

// FuzzRead: each line is answered once, whatever it holds.
func FuzzRead(f *testing.F) {
	f.Add([]byte("1 a\n\n 2\r\nx"))
	f.Add(fmt.Appendf(nil, "%4097s\n1 a", "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out lines
		s := &session{ctx: t.Context(), conn: &out, do: upper, room: make(chan struct{}, maxUnderWay)}
		if unread, err := s.read(nil, bytes.NewReader(b)); len(unread) > 0 || err != io.EOF {
			t.Errorf("%q is unread, %v", unread, err)
		}
		s.jobs.Wait()
		want := bytes.Count(b, []byte("\n"))
		if len(b) > 0 && b[len(b)-1] != '\n' {
			want++
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != want {
			t.Errorf("%d answers to %d lines of %q: %q", n, want, b, out.Bytes())
		}
	})
}

// lines is a connection that is written to.
type lines struct {
	net.Conn
	bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error)      { return l.Buffer.Write(b) }
func (l *lines) Read([]byte) (int, error)         { return 0, os.ErrDeadlineExceeded }
func (l *lines) SetWriteDeadline(time.Time) error { return nil }
func (l *lines) Close() error                     { return nil }
