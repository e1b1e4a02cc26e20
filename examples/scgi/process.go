package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/holdfast-go/holdfast/activation"
)

// A launcher starts worker processes.
type launcher struct {
	program  string   // executed anew each time: whatever is at that path then
	args     []string // behind its name
	listener *os.File // which the workers share; nil: they are passed connections
}

// A workerProcess is a worker, as the dispatcher sees it.
type workerProcess struct {
	cmd     *exec.Cmd
	channel channel
}

var _ process = (*workerProcess)(nil)

func (l launcher) launch() (process, error) {
	ours, theirs, err := newChannel()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	files := []activation.NamedFile{{Name: nameChannel, File: theirs}}
	if l.listener != nil {
		files = append(files, activation.NamedFile{Name: nameListener, File: l.listener})
	}
	cmd := exec.Command(l.program, l.args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := activation.Start(ctx, cmd, files...); err != nil {
		ours.Close()
		return nil, err
	}
	return &workerProcess{cmd: cmd, channel: ours}, nil
}

func (p *workerProcess) run(idle, taken func()) error {
	defer p.channel.Close()
	for {
		msg, err := p.channel.hear()
		if err != nil {
			break // it ends
		}
		switch msg {
		case msgIdle:
			idle()
		case msgTaken:
			taken()
		}
	}
	defer time.AfterFunc(killTimeout, p.kill).Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("worker %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}

func (p *workerProcess) pass(c connection) error { return p.channel.pass(c) }
func (p *workerProcess) finish()                 { p.channel.CloseWrite() }
func (p *workerProcess) kill()                   { p.cmd.Process.Kill() }
