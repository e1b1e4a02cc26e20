package keepalive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
)

// tally is what clients of one kind counted.
type tally struct {
	kind                                 string
	requests, failed, reconnects, closed atomic.Int64
	first                                atomic.Pointer[error]
}

// fail counts n failed requests.
func (ta *tally) fail(n int, err error) {
	ta.failed.Add(int64(n))
	ta.first.CompareAndSwap(nil, &err)
}

// run sends rounds until stop is closed.
func (c *client) run(k kind, ta *tally, stop <-chan struct{}) {
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if c.conn == nil {
			conn, err := c.dial()
			if err != nil {
				ta.fail(1, fmt.Errorf("dial: %w", err))
				return
			}
			c.conn, c.r = conn, bufio.NewReader(conn)
			if c.dials++; c.dials > 1 && !k.once {
				ta.reconnects.Add(1)
			}
		}
		before := c.serial
		err := k.round(c)
		asked, left := c.serial-before, len(c.expects)
		ta.requests.Add(int64(asked - left))
		c.expects = nil
		switch {
		case errors.Is(err, errClosing):
			ta.closed.Add(1) // what was sent behind it may be sent again
		case err != nil:
			ta.fail(left, err)
		case !k.once:
			continue
		}
		c.conn.Close()
		c.conn = nil
	}
}

// load is a number of clients of every kind under way.
type load struct {
	tallies []*tally
	stop    func() // and wait
}

// startLoad starts each clients of every kind, which connect to addr.
func startLoad(t *testing.T, addr string, each int) *load {
	t.Helper()
	return startLoadBy(t, new(net.Dialer).DialContext, addr, each)
}

// startLoadBy is startLoad with clients that connect by dial.
func startLoadBy(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error), addr string, each int) *load {
	t.Helper()
	connect := func() (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
		defer cancel()
		return dial(ctx, "tcp", addr)
	}
	l := &load{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, k := range kinds {
		ta := &tally{kind: k.name}
		l.tallies = append(l.tallies, ta)
		for i := range each {
			c := &client{dial: connect, id: i, rand: rand.New(rand.NewPCG(uint64(i), 1))}
			wg.Go(func() { c.run(k, ta, stop) })
		}
	}
	l.stop = sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// progress waits until every kind has had at least n more requests answered.
func (l *load) progress(t *testing.T, n int64) {
	t.Helper()
	wants := make([]int64, len(l.tallies))
	for i, ta := range l.tallies {
		wants[i] = ta.requests.Load() + n
	}
	for i, ta := range l.tallies {
		poll.Until(t, fmt.Sprintf("%s has %d requests answered", ta.kind, wants[i]), func() bool {
			return ta.requests.Load() >= wants[i] || ta.failed.Load() > 0 // reported in the end
		})
	}
}

// check fails t if any client lost a request, and unless closing is allowed also
// if any connection ended.
func (l *load) check(t *testing.T, closing bool) {
	t.Helper()
	l.stop()
	for _, ta := range l.tallies {
		t.Logf("%-16s %6d requests, %d failed, %d reconnects, %d told to close", ta.kind,
			ta.requests.Load(), ta.failed.Load(), ta.reconnects.Load(), ta.closed.Load())
		if ta.requests.Load() == 0 {
			t.Errorf("%s: no request was answered", ta.kind)
		}
		if ta.failed.Load() > 0 {
			t.Errorf("%s: %d requests failed, the first with: %v", ta.kind, ta.failed.Load(), *ta.first.Load())
		}
		if n := ta.reconnects.Load(); n > 0 && !closing {
			t.Errorf("%s: %d clients had to connect again", ta.kind, n)
		}
		if n := ta.closed.Load(); n > 0 && !closing {
			t.Errorf("%s: %d answers ended the connection", ta.kind, n)
		}
	}
}
