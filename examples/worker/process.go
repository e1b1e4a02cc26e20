package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/notify"
)

const (
	startTimeout = time.Minute     // of a worker, until READY=1
	abortGrace   = time.Second     // from SIGABRT to SIGKILL
	exitTimeout  = 5 * time.Second // of a worker whose input has ended
	lastWords    = time.Second     // how long a worker that has ended is still heard
)

// A launcher starts worker processes.
type launcher struct {
	program  string // executed anew each time: whatever is at that path then
	sockets  string // directory of the sockets on which workers are heard
	watchdog time.Duration
	started  atomic.Int64
}

// A process is a worker's, as the dispatcher sees it.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	heard   *notify.Receiver
	silence *time.Timer // aborts it
	warm    chan struct{}
	answers chan string
	gone    chan struct{}
	err     error // how it ended, once gone

	mu  sync.Mutex
	why string // it was aborted, if it was
}

var _ worker = (*process)(nil)

// launch starts a worker, and returns it when it is warm.
func (l *launcher) launch(ctx context.Context) (worker, error) {
	heard, err := notify.Listen(filepath.Join(l.sockets, strconv.FormatInt(l.started.Add(1), 10)))
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:     exec.Command(l.program, workerVerb),
		heard:   heard,
		warm:    make(chan struct{}),
		answers: make(chan string, 1), // one job at a time
		gone:    make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+heard.Addr(), "WATCHDOG_USEC="+strconv.FormatInt(l.watchdog.Microseconds(), 10))
	p.cmd.Stderr = os.Stderr
	out, err := p.start()
	if err != nil {
		heard.Close()
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	p.silence = time.AfterFunc(startTimeout, func() { p.abort(fmt.Sprintf("no heartbeat, and the watchdog is %v", l.watchdog)) })
	go p.run(out, l.watchdog)
	select {
	case <-p.warm:
		return p, nil
	case <-p.gone:
		return nil, p.err
	case <-ctx.Done():
		p.kill()
		<-p.gone
		return nil, context.Cause(ctx)
	}
}

// start returns the worker's output, which the caller closes.
func (p *process) start() (*os.File, error) {
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer theirs.Close()
	p.in, p.cmd.Stdout = in, theirs
	if err := p.cmd.Start(); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// run hears the worker until it has ended.
func (p *process) run(out *os.File, watchdog time.Duration) {
	defer close(p.gone)
	var hearing sync.WaitGroup
	hearing.Go(func() { p.hearAnswers(out) })
	hearing.Go(func() { p.hearNotifications(watchdog) })
	err := p.cmd.Wait()
	out.SetReadDeadline(time.Now().Add(lastWords)) // a process that it started may hold it open
	p.heard.Close()
	hearing.Wait()
	p.silence.Stop()
	out.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why != "" {
		p.err = fmt.Errorf("worker %d: %s", p.cmd.Process.Pid, p.why)
	} else if err != nil {
		p.err = fmt.Errorf("worker %d: %w", p.cmd.Process.Pid, err)
	}
}

func (p *process) hearAnswers(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		select {
		case p.answers <- lines.Text():
		default:
			p.abort("it answers without having been asked")
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		p.abort(err.Error())
	}
	p.in.Close() // it cannot answer any more
	time.AfterFunc(exitTimeout, p.kill)
}

func (p *process) hearNotifications(watchdog time.Duration) {
	warm := false
	for {
		n, err := p.heard.Receive(context.Background())
		if errors.Is(err, notify.ErrRefused) {
			continue
		}
		if err != nil {
			return // it was closed
		}
		if n.PID == p.cmd.Process.Pid { // as NotifyAccess=main has it
			if n.Message.Has("READY", "1") && !warm {
				warm = true
				close(p.warm)
			}
			if warm {
				p.silence.Reset(watchdog)
			}
		}
		n.Close()
	}
}

// ask has the worker do a job. An error means that it has ended, and nobody knows how
// far it got.
func (p *process) ask(job string) (string, error) {
	io.WriteString(p.in, job+"\n") // it takes that, or is about to be gone
	select {
	case answer := <-p.answers:
		return answer, nil
	case <-p.gone:
	}
	select {
	case answer := <-p.answers: // its last words
		return answer, nil
	default:
		return "", p.end()
	}
}

func (p *process) ended() <-chan struct{} { return p.gone }

// end says how the worker, which is gone, has ended.
func (p *process) end() error {
	if p.err == nil {
		return fmt.Errorf("worker %d: exit status 0", p.cmd.Process.Pid)
	}
	return p.err
}

// finish ends the worker, which has no job.
func (p *process) finish() {
	p.in.Close()
	defer time.AfterFunc(exitTimeout, p.kill).Stop()
	<-p.gone
}

// abort ends a worker that does not do what it should. A Go program writes to its
// standard error where each of its goroutines is.
func (p *process) abort(why string) {
	p.mu.Lock()
	if p.why == "" {
		p.why = why
	}
	p.mu.Unlock()
	p.cmd.Process.Signal(syscall.SIGABRT)
	time.AfterFunc(abortGrace, p.kill)
}

// kill does nothing to a process that has been waited for.
func (p *process) kill() { p.cmd.Process.Kill() }
