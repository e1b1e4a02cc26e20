package programs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// A load asks until it is stopped, and counts what it lost by what went on.
type load interface {
	Mark(phase string)
	answered() int64
	// end stops it, and returns what it lost.
	end(t *testing.T) Failed
}

// httpLoad asks over HTTP.
type httpLoad struct {
	*loadtest.Load
	keep bool // connections
	ours bool // by handoffd, with which nobody may be refused
}

func startHTTP(t *testing.T, m *systemdtest.Machine, address string, keep, ours bool) load {
	t.Helper()
	l, err := loadtest.Start(t.Context(), loadtest.Options{
		URL: "http://localhost/", Address: address, Dial: m.Dial, KeepAlive: keep, Check: loadtest.Equals("hello"),
		Clients: clients, Rate: rate, Duration: 30 * time.Minute, Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Stop()
		l.Wait()
	})
	return httpLoad{l, keep, ours}
}

func (l httpLoad) answered() int64 { return l.Counts().OK }

func (l httpLoad) end(t *testing.T) Failed {
	t.Helper()
	l.Stop()
	result, err := l.Wait()
	if err != nil {
		t.Fatal(err)
	}
	reloads, restarts := result.Named(phaseReload).Counts, result.Named(phaseRestart).Counts
	t.Logf("reloads %v; restarts %v", reloads, restarts)
	if l.ours && l.keep && reloads.Reconnected+restarts.Reconnected == 0 {
		t.Error("no client on a kept connection connected anew, and the page says that they do")
	}
	if c := result.Total.Counts; l.ours && c.Refused+c.TimedOut+c.Wrong+c.Other > 0 {
		t.Error(result.Err())
	}
	return Failed{Reloads: int(reloads.Failed()), Restarts: int(restarts.Failed()), Of: int(result.Total.Counts.Requests())}
}

// An exchange is a question in another protocol, on a connection of its own, and how
// the answer begins.
type exchange struct {
	network, address string
	send, want       string
}

// once asks, and says what was wrong.
func (x exchange) once(ctx context.Context, m *systemdtest.Machine) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := m.Dial(ctx, x.network, x.address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Write([]byte(x.send)); err != nil {
		return err
	}
	got := make([]byte, 512)
	if x.network == "udp" {
		n, err := c.Read(got)
		if err != nil {
			return err
		}
		got = got[:n]
	} else if _, err := io.ReadFull(c, got[:len(x.want)]); err != nil {
		return err
	}
	if !bytes.HasPrefix(got, []byte(x.want)) {
		return fmt.Errorf("the answer begins %q, want %q", got, x.want)
	}
	return nil
}

// exchanges ask over and over.
type exchanges struct {
	stop   context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	phase  string
	ok     int64
	failed map[string]int
	first  error
}

// startExchanges has as many clients ask as often as over HTTP.
func startExchanges(t *testing.T, m *systemdtest.Machine, all []exchange) load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &exchanges{stop: stop, failed: make(map[string]int)}
	t.Cleanup(func() {
		stop()
		l.ended.Wait()
	})
	for i := range clients {
		l.ended.Go(func() {
			ticks := time.NewTicker(clients * time.Second / rate)
			defer ticks.Stop()
			for ctx.Err() == nil {
				l.mu.Lock()
				phase := l.phase
				l.mu.Unlock()
				err := all[i%len(all)].once(ctx, m)
				l.count(ctx, phase, err)
				select {
				case <-ticks.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return l
}

func (l *exchanges) count(ctx context.Context, phase string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.ok++
	case ctx.Err() == nil:
		l.failed[phase]++
		if l.first == nil {
			l.first = fmt.Errorf("%s: %w", phase, err)
		}
	}
}

func (l *exchanges) Mark(phase string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = phase
}

func (l *exchanges) answered() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ok
}

func (l *exchanges) end(t *testing.T) Failed {
	t.Helper()
	l.stop()
	l.ended.Wait()
	if l.first != nil {
		t.Logf("the first that failed: %v", l.first)
	}
	f := Failed{Reloads: l.failed[phaseReload], Restarts: l.failed[phaseRestart], Of: int(l.ok)}
	for _, n := range l.failed {
		f.Of += n
	}
	return f
}
