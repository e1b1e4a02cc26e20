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
	"strings"
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

// ownProgram is the program of this process, also when another version is at its path:
// a dispatcher and its workers are of one version, and when a new one is undone the old
// dispatcher still has workers that work.
const ownProgram = "/proc/self/exe"

// A launcher starts worker processes.
type launcher struct {
	sockets  string // directory of the sockets on which workers are heard
	watchdog time.Duration
	started  atomic.Int64
}

// A process is a worker's, as the dispatcher sees it.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	heard   *notify.Receiver
	warm    chan struct{}
	asked   atomic.Int64 // the number of its last job
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
		cmd:     exec.Command(ownProgram, workerVerb),
		heard:   heard,
		warm:    make(chan struct{}),
		answers: make(chan string, 1), // one job at a time
		gone:    make(chan struct{}),
	}
	p.cmd.Args[0] = os.Args[0]
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+heard.Addr(), "WATCHDOG_USEC="+strconv.FormatInt(l.watchdog.Microseconds(), 10))
	p.cmd.Stderr = os.Stderr
	out, err := p.start()
	if err != nil {
		heard.Close()
		return nil, fmt.Errorf("start a worker: %w", err)
	}
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
	lines.Buffer(nil, maxLine+maxNumber)
	for answered := int64(0); lines.Scan(); answered++ {
		number, answer, _ := strings.Cut(lines.Text(), " ")
		// An answer to another job would be taken for that to the next one.
		if n := p.asked.Load(); n == answered || number != strconv.FormatInt(n, 10) {
			p.abort(fmt.Sprintf("it says %.60q, which answers no job that it has", lines.Text()))
			break
		}
		p.answers <- answer
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		p.abort(err.Error())
	}
	p.in.Close() // it cannot answer any more
	time.AfterFunc(exitTimeout, p.kill)
}

func (p *process) hearNotifications(watchdog time.Duration) {
	warm := false
	// The last tenth is for what was sent in time, if this process was stopped.
	grace, late := watchdog/10, false
	end := time.Now().Add(startTimeout)
	for {
		n, err := p.receive(end)
		switch {
		case errors.Is(err, notify.ErrRefused):
			continue
		case errors.Is(err, context.DeadlineExceeded) && !late:
			end, late = time.Now().Add(grace), true
			continue
		case errors.Is(err, context.DeadlineExceeded) && warm:
			p.abort(fmt.Sprintf("no heartbeat, and the watchdog is %v", watchdog))
			return
		case errors.Is(err, context.DeadlineExceeded):
			p.abort(fmt.Sprintf("no READY=1 within %v", startTimeout))
			return
		case err != nil:
			return // it was closed
		}
		if n.PID == p.cmd.Process.Pid { // as NotifyAccess=main has it
			if n.Message.Has("READY", "1") && !warm {
				warm = true
				close(p.warm)
			}
			if warm {
				end, late = time.Now().Add(watchdog-grace), false
			}
		}
		n.Close()
	}
}

func (p *process) receive(end time.Time) (*notify.Notification, error) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	return p.heard.Receive(ctx)
}

// ask has the worker do a job. An error means that it has ended, and nobody knows how
// far it got.
func (p *process) ask(job string) (string, error) {
	fmt.Fprintf(p.in, "%d %s\n", p.asked.Add(1), job) // it takes that, or is about to be gone
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
