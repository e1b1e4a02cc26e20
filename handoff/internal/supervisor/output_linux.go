package supervisor

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What is kept of a generation's standard error, for the reason of a verdict.
const (
	tailLines = 10
	tailBytes = 4096
)

// An output copies a generation's standard error on, and remembers its end.
type output struct {
	to      io.Writer
	file    *os.File // the pipe's read end
	raw     syscall.RawConn
	drained chan struct{} // one for each interruption by flush
	done    chan struct{}

	mu   sync.Mutex
	tail []byte
}

// newOutput returns also the pipe's write end, which the caller closes once the
// generation has it.
func newOutput(to io.Writer) (*output, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	raw, err := r.SyscallConn()
	if err != nil {
		return nil, nil, errors.Join(err, r.Close(), w.Close())
	}
	o := &output{to: to, file: r, raw: raw, drained: make(chan struct{}), done: make(chan struct{})}
	go o.run()
	return o, w, nil
}

func (o *output) run() {
	defer close(o.done)
	b := make([]byte, 16<<10)
	for {
		n, err := o.file.Read(b)
		o.write(b[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			o.file.SetReadDeadline(time.Time{})
			o.drain(b)
			o.drained <- struct{}{}
		case err != nil:
			return
		}
	}
}

// drain reads what is there, without waiting for more.
func (o *output) drain(b []byte) {
	for {
		var n int
		var err error
		o.raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), b)
			return true
		})
		if n <= 0 || err != nil {
			return
		}
		o.write(b[:n])
	}
}

func (o *output) write(b []byte) {
	if len(b) == 0 {
		return
	}
	o.mu.Lock()
	o.tail = append(o.tail, b...)
	if over := len(o.tail) - tailBytes; over > 0 {
		o.tail = append(o.tail[:0], o.tail[over:]...)
	}
	o.mu.Unlock()
	o.to.Write(b) // there is nobody to tell if standard error is gone
}

// flush returns when what was written until now has been copied, or after a
// second. Only one goroutine may call it, before close.
func (o *output) flush() {
	o.file.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-o.drained:
	case <-o.done:
	case <-time.After(time.Second):
		go func() {
			select {
			case <-o.drained:
			case <-o.done:
			}
		}()
	}
}

// lines returns the last lines.
func (o *output) lines() []string {
	o.mu.Lock()
	text := string(bytes.TrimSpace(o.tail))
	o.mu.Unlock()
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.ToValidUTF8(strings.TrimSuffix(line, "\r"), "\uFFFD")
	}
	return lines[max(0, len(lines)-tailLines):]
}

// close ends the copying. A process that still writes gets SIGPIPE.
func (o *output) close() { o.file.Close() }
