package process

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

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// What is kept of a generation's standard error, for the reason of a verdict.
const (
	tailLines = 10
	tailBytes = 4096

	haltTimeout = 2 * time.Second
)

// An Output copies a generation's standard error on, and remembers its end.
type Output struct {
	to   io.Writer
	file *os.File // the pipe's read end
	raw  syscall.RawConn

	mu       sync.Mutex
	tail     []byte
	running  bool          // it is being copied
	halting  bool          // halt asks for the end of that
	flushing bool          // flush waits for drained
	drained  chan struct{} // gets one for flush
	done     chan struct{} // closed when nothing is copied any more
}

// NewOutput copies to to. It returns also the pipe's write end, which the caller closes once the
// generation has it.
func NewOutput(to io.Writer) (*Output, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	o, err := openOutput(to, r, nil)
	if err != nil {
		return nil, nil, errors.Join(err, r.Close(), w.Close())
	}
	o.start()
	return o, w, nil
}

// openOutput goes on with a pipe whose last bytes were tail, once it is started.
func openOutput(to io.Writer, r *os.File, tail []byte) (*Output, error) {
	raw, err := r.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Output{to: to, file: r, raw: raw, tail: tail}, nil
}

func (o *Output) start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running, o.halting, o.flushing = true, false, false
	o.drained, o.done = make(chan struct{}), make(chan struct{})
	o.file.SetReadDeadline(time.Time{})
	go o.run(o.drained)
}

func (o *Output) run(drained chan<- struct{}) {
	b := make([]byte, 16<<10)
	for {
		n, err := o.file.Read(b)
		o.write(b[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			flushing := o.interrupted()
			o.drain(b)
			if o.end(false) {
				return
			}
			if flushing {
				drained <- struct{}{}
			}
		case err != nil:
			o.end(true)
			return
		}
	}
}

// interrupted lets reads wait again, and reports whether flush waits for what is
// there by now.
func (o *Output) interrupted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.file.SetReadDeadline(time.Time{})
	flushing := o.flushing
	o.flushing = false
	return flushing
}

// end reports whether the copying ends: it is over, or is to be halted.
func (o *Output) end(over bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if over || o.halting {
		o.running = false
		close(o.done)
	}
	return !o.running
}

// halt stops the copying until resume, and reports whether it has stopped: the
// standard error of this process may be stuck.
func (o *Output) halt() bool {
	o.mu.Lock()
	o.halting = true
	done := o.done
	o.file.SetReadDeadline(time.Unix(1, 0))
	o.mu.Unlock()
	select {
	case <-done:
		return true
	case <-time.After(haltTimeout):
		return false
	}
}

// resume goes on after halt, also where that was in vain.
func (o *Output) resume() {
	o.mu.Lock()
	o.halting = false
	running := o.running
	o.mu.Unlock()
	if !running {
		o.start()
	}
}

// drain reads what is there, without waiting for more.
func (o *Output) drain(b []byte) {
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

func (o *Output) write(b []byte) {
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

// Flush returns when what was written until now has been copied, or after a
// second. Only one goroutine may call it, before Close.
func (o *Output) Flush() {
	o.mu.Lock()
	drained, done := o.drained, o.done
	o.flushing = true
	o.file.SetReadDeadline(time.Unix(1, 0))
	o.mu.Unlock()
	select {
	case <-drained:
	case <-done:
	case <-time.After(time.Second):
		go func() {
			select {
			case <-drained:
			case <-done:
			}
		}()
	}
}

// Lines returns the last lines.
func (o *Output) Lines() []string {
	o.mu.Lock()
	text := string(bytes.TrimSpace(o.tail))
	o.mu.Unlock()
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = report.Printable(strings.TrimSuffix(line, "\r"))
	}
	return lines[max(0, len(lines)-tailLines):]
}

// last returns the last bytes.
func (o *Output) last() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.tail)
}

// Close ends the copying. A process that still writes gets SIGPIPE.
func (o *Output) Close() { o.file.Close() }
