package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
)

const address = "127.0.0.1:7008"

// jobText is the job with a number, and wantAnswer what is to be said of it.
func jobText(number int) string { return "job " + strconv.Itoa(number) }

func wantAnswer(number int) string {
	return fmt.Sprintf("%s %x", wordOK, sha256.Sum256([]byte(jobText(number))))
}

// maxJobs is more than a load sends before it is stopped.
const maxJobs = 5_000_000

// A load is numbered jobs, which clients have done.
type load struct {
	next     atomic.Int64
	answered atomic.Int64
	stopped  atomic.Bool
	times    []atomic.Int32 // that each was answered
	clients  sync.WaitGroup
	mu       sync.Mutex
	errs     []error
}

// startLoad has clients send jobs until check, each on one connection, and each with some
// under way at a time.
func startLoad(conns []net.Conn, underWay int) *load {
	l := &load{times: make([]atomic.Int32, maxJobs)}
	for _, c := range conns {
		room := make(chan struct{}, underWay)
		l.clients.Go(func() { l.note(l.send(c, room)) })
		l.clients.Go(func() {
			l.note(l.receive(c, room))
			c.Close() // and the sender does not wait for room
			for len(room) > 0 {
				<-room
			}
		})
	}
	return l
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// send sends until the load is stopped, and then ends its half of the connection.
func (l *load) send(c net.Conn, room chan<- struct{}) error {
	for !l.stopped.Load() {
		number := int(l.next.Add(1)) - 1
		if number >= maxJobs {
			return fmt.Errorf("%d jobs are not enough", maxJobs)
		}
		room <- struct{}{}
		if _, err := fmt.Fprintf(c, "%d %s\n", number, jobText(number)); err != nil {
			return err
		}
	}
	return c.(interface{ CloseWrite() error }).CloseWrite()
}

func (l *load) receive(c net.Conn, room <-chan struct{}) error {
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		id, answer, _ := strings.Cut(lines.Text(), " ")
		number, err := strconv.Atoi(id)
		if err != nil || number < 0 || number >= maxJobs || answer != wantAnswer(number) {
			return fmt.Errorf("answer %.80q", lines.Text())
		}
		l.times[number].Add(1)
		l.answered.Add(1)
		<-room
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(room) > 0 {
		return fmt.Errorf("%d jobs before the end: %w", len(room), io.ErrUnexpectedEOF)
	}
	return nil
}

// progress waits for more answers.
func (l *load) progress(t *testing.T, n int64) {
	t.Helper()
	n += l.answered.Load()
	exampletest.WaitFor(t, exampletest.Deadline(t), fmt.Sprintf("%d answers", n), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answered.Load() >= n || len(l.errs) > 0
	})
}

// check stops the load, and fails t unless there were as many jobs, and each was answered
// once.
func (l *load) check(t *testing.T, least int) {
	t.Helper()
	l.stopped.Store(true)
	l.clients.Wait()
	for _, err := range l.errs {
		t.Error(err)
	}
	total, wrong := int(l.next.Load()), 0
	if total < least {
		t.Errorf("%d jobs, want at least %d", total, least)
	}
	for number := range total {
		if n := l.times[number].Load(); n != 1 {
			if wrong++; wrong <= 10 {
				t.Errorf("job %d was answered %d times", number, n)
			}
		}
	}
	t.Logf("%d jobs, %d of them not answered exactly once", total, wrong)
}
