package daemon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/sys/unix"
)

// A put writes a line, and waits at most so long for whoever takes it.
type put func(wait time.Duration, l slog.Level, line string, attrs []slog.Attr) error

// logPatience is how long a line may wait for a journal that does not read.
const logPatience = 200 * time.Millisecond

// bounded returns a write that loses lines rather than wait for whoever does not take
// them: the goroutine that logs is the one on which all generations depend. Once one
// was lost none waits, until they are taken again.
func bounded(to put) func(slog.Level, string, []slog.Attr) error {
	var mu sync.Mutex
	lost := 0
	return func(l slog.Level, line string, attrs []slog.Attr) error {
		mu.Lock()
		defer mu.Unlock()
		wait := logPatience
		if lost > 0 {
			wait = 0
			if to(wait, slog.LevelWarn, fmt.Sprintf("%d lines of this log are lost: nobody took them", lost), nil) == nil {
				lost = 0
			}
		}
		err := to(wait, l, line, attrs)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			lost++
		}
		return err
	}
}

// toFile writes lines for people.
func toFile(w *os.File) put {
	return func(wait time.Duration, l slog.Level, line string, _ []slog.Attr) error {
		if err := writable(w, wait); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "handoffd: %s: %s\n", strings.ToLower(l.String()), line)
		return err
	}
}

// writable waits until a line can be written to w without a wait: standard error
// has no write deadline, unless it was made non-blocking.
func writable(w *os.File, wait time.Duration) error {
	raw, err := w.SyscallConn()
	if err != nil {
		return err
	}
	n := 0
	ctlErr := raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		for deadline := time.Now().Add(wait); ; {
			n, err = unix.Poll(poll, int(max(time.Until(deadline), 0).Milliseconds()))
			if err != unix.EINTR {
				return
			}
		}
	})
	switch {
	case ctlErr != nil:
		return ctlErr
	case err != nil:
		return os.NewSyscallError("poll", err)
	case n == 0:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// A journalSocket speaks journald's native protocol. It is connected: one that is
// not, such as that of go-systemd's journal.Send, is never woken again where others
// have filled journald's queue.
type journalSocket struct {
	path string
	conn *net.UnixConn // nil until there is one
}

const journalPath = "/run/systemd/journal/socket"

// put writes a line with its attributes as fields: GENERATION= and HANDOFF_EVENT=
// among them.
func (j *journalSocket) put(wait time.Duration, l slog.Level, line string, attrs []slog.Attr) error {
	var b bytes.Buffer
	field(&b, "PRIORITY", fmt.Sprint(int(priority(l))))
	field(&b, "SYSLOG_IDENTIFIER", "handoffd")
	field(&b, "MESSAGE", line)
	for _, a := range attrs {
		field(&b, strings.ToUpper(a.Key), a.Value.String())
	}
	err := j.send(wait, b.Bytes())
	if j.conn != nil && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTCONN)) {
		j.conn.Close() // its socket was made anew
		j.conn = nil
		err = j.send(wait, b.Bytes())
	}
	return err
}

func (j *journalSocket) send(wait time.Duration, b []byte) error {
	if j.conn == nil {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: j.path, Net: "unixgram"})
		if err != nil {
			return err
		}
		j.conn = conn
	}
	// A deadline that has passed would not let the line be tried.
	j.conn.SetWriteDeadline(time.Now().Add(max(wait, time.Millisecond)))
	_, err := j.conn.Write(b)
	return err
}

// field appends one, as systemd's page on the native protocol has it: the length
// stands before what has several lines.
func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	if strings.Contains(value, "\n") {
		b.WriteByte('\n')
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	} else {
		b.WriteByte('=')
	}
	b.WriteString(value)
	b.WriteByte('\n')
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l < slog.LevelInfo:
		return journal.PriDebug
	case l < slog.LevelWarn:
		return journal.PriInfo
	case l < slog.LevelError:
		return journal.PriWarning
	}
	return journal.PriErr
}
