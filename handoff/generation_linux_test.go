package handoff

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/poll"
)

// A generation is a process that the manager has started.
type generation struct {
	m         *manager
	number    int
	cmd       *exec.Cmd
	receiver  *notify.Receiver
	deliverer *parcel.Deliverer // nil across a restart
	out       output
	end       context.CancelFunc
	tasks     sync.WaitGroup
	exited    chan struct{}
	err       error // of its exit

	mu      sync.Mutex
	heard   []string // every assignment, in order
	news    chan struct{}
	replies []parcel.Reply // but for those to deliveries
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// close ends what listens to the generation.
func (g *generation) close() {
	g.end()
	g.tasks.Wait()
	g.m.reclaim(g)
	g.receiver.Close()
	if g.deliverer != nil {
		g.deliverer.Close()
	}
}

// listen answers what the generation sends, as systemd does.
func (g *generation) listen(ctx context.Context) {
	for {
		n, err := g.receiver.Receive(ctx)
		if errors.Is(err, notify.ErrRefused) {
			g.m.t.Errorf("generation %d: %v", g.number, err)
			continue
		}
		if err != nil {
			return
		}
		g.m.mu.Lock()
		hear := g.m.hear
		g.m.mu.Unlock()
		if hear != nil {
			hear(g, n)
		}
		g.m.act(g, n)
		g.mu.Lock()
		for _, f := range n.Message {
			g.heard = append(g.heard, f.Key+"="+f.Value)
		}
		close(g.news)
		g.news = make(chan struct{})
		g.mu.Unlock()
		n.Close()
	}
}

// acknowledge drops from the store what the generation has taken, and takes note of
// what else it replies.
func (g *generation) acknowledge(ctx context.Context) {
	for {
		r, err := g.deliverer.Next(ctx)
		if err != nil {
			return
		}
		if r.Taken == 0 {
			g.mu.Lock()
			g.replies = append(g.replies, r)
			g.mu.Unlock()
			continue
		}
		g.m.mu.Lock()
		g.m.drop(func(s *stored) bool { return s.holder == g && s.delivery == r.Taken })
		g.m.mu.Unlock()
	}
}

func (g *generation) said() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.heard)
}

// await waits until the generation has said an assignment that begins so, n times.
func (g *generation) await(prefix string, n int) {
	g.m.t.Helper()
	deadline := time.After(poll.Patience)
	for {
		g.mu.Lock()
		count := 0
		for _, s := range g.heard {
			if strings.HasPrefix(s, prefix) {
				count++
			}
		}
		news := g.news
		g.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-news:
		case <-g.exited:
			g.m.t.Fatalf("generation %d ended (%v) before %d times %q:\n%s", g.number, g.err, n, prefix, g.out.String())
		case <-deadline:
			g.m.t.Fatalf("generation %d has not said %q %d times:\n%s\n%q", g.number, prefix, n, g.out.String(), g.said())
		}
	}
}

func (g *generation) signal(sig os.Signal) {
	g.m.t.Helper()
	if err := g.cmd.Process.Signal(sig); err != nil {
		g.m.t.Fatal(err)
	}
}

// wait waits until the generation has ended, and returns its error.
func (g *generation) wait() error {
	g.m.t.Helper()
	select {
	case <-g.exited:
		return g.err
	case <-time.After(poll.Patience):
		g.m.t.Fatalf("generation %d does not end:\n%s", g.number, g.out.String())
		return nil
	}
}

// owned tells the generation that no other holds anything.
func (g *generation) owned() {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	if err := g.deliverer.Owned(ctx); err != nil {
		g.m.t.Error(err)
	}
}

// stop has the generation drain, and checks that it ends well.
func (g *generation) stop() {
	g.m.t.Helper()
	g.signal(syscall.SIGTERM)
	if err := g.wait(); err != nil {
		g.m.t.Errorf("generation %d ended with %v:\n%s", g.number, err, g.out.String())
	}
	g.close()
}

// counters reads what the app has printed at its end.
func (g *generation) counters() Counters {
	g.m.t.Helper()
	for line := range strings.Lines(g.out.String()) {
		if text, ok := strings.CutPrefix(line, "counters "); ok {
			var c Counters
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				g.m.t.Fatal(err)
			}
			return c
		}
	}
	g.m.t.Fatalf("generation %d printed no counters:\n%s", g.number, g.out.String())
	return Counters{}
}

// reported returns what the app was told by Options.Report.
func (g *generation) reported() []string {
	var list []string
	for line := range strings.Lines(g.out.String()) {
		if text, ok := strings.CutPrefix(line, "report "); ok {
			list = append(list, strings.TrimSpace(text))
		}
	}
	return list
}

// printed waits until the generation has printed a line that begins so.
func (g *generation) printed(prefix string) string {
	g.m.t.Helper()
	printed := ""
	poll.Until(g.m.t, fmt.Sprintf("generation %d has printed %q", g.number, prefix), func() bool {
		for line := range strings.Lines(g.out.String()) {
			if strings.HasPrefix(line, prefix) {
				printed = strings.TrimSpace(line)
				return true
			}
		}
		return false
	})
	return printed
}

// mustReport waits until Options.Report was told something with all these parts.
func (g *generation) mustReport(parts ...string) {
	g.m.t.Helper()
	poll.Until(g.m.t, fmt.Sprintf("generation %d reports something with %q", g.number, parts), func() bool {
		return slices.ContainsFunc(g.reported(), func(r string) bool {
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) })
		})
	})
}
