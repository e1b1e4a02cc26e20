package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/notify"
)

// A worker process reads lines "NUMBER JOB", and answers each with "NUMBER ok RESULT" or
// "NUMBER failed REASON"; a client has an identifier in the number's place.
const (
	wordOK     = "ok"
	wordFailed = "failed"
)

const (
	maxLine   = 4096 // the greatest length of a client's line
	maxNumber = 20   // that of a job's number, and the space behind it

	orphanTime = time.Second // of a worker whose dispatcher has ended, for the job that it has
)

// work is a worker process: it does the jobs that in has, a line each, and answers on
// out. It returns at the end of in.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	// Those of the terminal, and of a manager that signals all processes, are for the
	// dispatcher, which ends its workers' input.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	manager, err := notify.Open()
	if err != nil {
		return err
	}
	defer manager.Close()

	// What must be loaded before the first job belongs here.

	h := newHeart(ctx, manager)
	if err := manager.Ready(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	jobs, ended := readLines(in, done)
	for {
		select {
		case line, ok := <-jobs:
			if !ok {
				return <-ended
			}
			h.alive()
			number, job, _ := strings.Cut(line, " ")
			word := wordOK
			answer, err := do(job, h.alive)
			if err != nil {
				word, answer = wordFailed, err.Error()
			}
			if _, err := fmt.Fprintf(out, "%s %s %s\n", number, word, oneLine(answer)); err != nil {
				return err
			}
		case <-h.beat:
			h.alive()
		}
	}
}

// A heart sends WATCHDOG=1. It beats where the work is done, and in no goroutine of its
// own: that would go on beating when the work hangs.
type heart struct {
	ctx      context.Context
	manager  *notify.Notifier
	interval time.Duration // 0: nobody listens
	last     time.Time
	beat     <-chan time.Time // for when there is nothing to do
}

func newHeart(ctx context.Context, manager *notify.Notifier) *heart {
	h := &heart{ctx: ctx, manager: manager, interval: manager.WatchdogTimeout() / 4}
	if h.interval > 0 {
		h.beat = time.Tick(h.interval)
	}
	return h
}

func (h *heart) alive() {
	if h.interval == 0 || time.Since(h.last) < h.interval {
		return
	}
	h.last = time.Now()
	h.manager.Send(h.ctx, notify.WatchdogPing()) // if it fails, there is the next one
}

// readLines gives the lines of in, and then says why there are no more. A process that
// hangs then, and is not done, ends all the same: its dispatcher cannot end it any more.
func readLines(in io.Reader, done <-chan struct{}) (lines <-chan string, ended <-chan error) {
	c, end := make(chan string), make(chan error, 1)
	go func() {
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxLine+maxNumber)
		for s.Scan() {
			c <- s.Text()
		}
		end <- s.Err()
		close(c)
		select {
		case <-done:
		case <-time.After(orphanTime):
			fail(errors.New("the dispatcher has ended, and a job is under way"), 1)
		}
	}()
	return c, end
}

// oneLine has no line breaks, and is not longer than an answer may be.
func oneLine(s string) string {
	s = strings.NewReplacer("\n", " ", "\r", " ").Replace(s)
	return s[:min(len(s), maxLine/2)]
}
