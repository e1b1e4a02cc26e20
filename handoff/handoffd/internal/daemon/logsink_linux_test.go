package daemon

import (
	"bufio"
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStuckLog: what nobody reads is lost, and how much that was is said.
func TestStuckLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	write := bounded(toFile(w))
	lost := 0
	for line := strings.Repeat("x", 1000); lost < 3; {
		switch err := write(slog.LevelInfo, line, nil); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			lost++
		case err != nil:
			t.Fatal(err)
		}
	}
	lines := bufio.NewReader(r)
	for range 10 {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(slog.LevelInfo, "last", nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var said bytes.Buffer
	if _, err := said.ReadFrom(lines); err != nil {
		t.Fatal(err)
	}
	const want = "handoffd: warn: 3 lines of this log are lost: nobody took them\nhandoffd: info: last\n"
	if !strings.HasSuffix(said.String(), want) {
		t.Errorf("the log ends with %q, want %q", said.String()[max(0, said.Len()-200):], want)
	}
}

// TestJournalField: values of several lines are told by their length.
func TestJournalField(t *testing.T) {
	var b bytes.Buffer
	field(&b, "MESSAGE", "one")
	field(&b, "ERROR", "two\nlines")
	if got, want := b.String(), "MESSAGE=one\nERROR\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\n"; got != want {
		t.Errorf("the fields are %q, want %q", got, want)
	}
}

// TestJournalIsGone: a journal that nobody reads any more is an error for each line, and
// one that comes back has the next line.
func TestJournalIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	addr := &net.UnixAddr{Name: path, Net: "unixgram"}
	listen := func() *net.UnixConn {
		t.Helper()
		conn, err := net.ListenUnixgram("unixgram", addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	j := &journalSocket{path: path}
	put := func() error { return j.put(logPatience, slog.LevelInfo, "a line", nil) }
	first := listen()
	if err := put(); err != nil {
		t.Fatal(err)
	}
	first.Close() // the socket stays at its path
	for range 3 {
		if err := put(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without a journal: %v", err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := listen()
	defer second.Close()
	if err := put(); err != nil {
		t.Errorf("a journal that is back: %v", err)
	}
}
