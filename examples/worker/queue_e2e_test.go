package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const redisAddress = "127.0.0.1:6379"

// A producer puts jobs into the queue.
type producer struct {
	t      *testing.T
	ctx    context.Context
	client *redis.Client
	number map[string]int // of the job, by the entry's ID
}

func newProducer(t *testing.T, m *systemdtest.Machine) *producer {
	// What a busy machine has not answered in 3 s, as is usual, would be sent again.
	client := redis.NewClient(&redis.Options{Addr: redisAddress, ReadTimeout: time.Minute, WriteTimeout: time.Minute, Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
		return m.Dial(ctx, network, address)
	}})
	t.Cleanup(func() { client.Close() })
	p := &producer{t: t, ctx: exampletest.Deadline(t), client: client, number: make(map[string]int)}
	p.awaitRedis()
	return p
}

func (p *producer) awaitRedis() {
	p.t.Helper()
	exampletest.WaitFor(p.t, p.ctx, "Redis", func() bool { return p.client.Ping(p.ctx).Err() == nil })
}

// add puts n more jobs in.
func (p *producer) add(n int) error {
	first := len(p.number)
	added, err := p.client.Pipelined(p.ctx, func(pipe redis.Pipeliner) error {
		for i := range n {
			pipe.XAdd(p.ctx, &redis.XAddArgs{Stream: streamJobs, Values: []string{fieldJob, jobText(first + i)}})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, cmd := range added {
		p.number[cmd.(*redis.StringCmd).Val()] = first + i
	}
	return nil
}

// feed sees to it that there are always jobs, until stop is called.
func (p *producer) feed() (stop func()) {
	ctx, cancel := context.WithCancel(p.ctx)
	ended := make(chan error)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			n, err := p.client.XLen(p.ctx, streamJobs).Result()
			if err == nil && n < 10_000 {
				err = p.add(2000)
			}
			select {
			case <-tick.C:
				if err == nil {
					continue
				}
			case <-ctx.Done():
			}
			ended <- err
			return
		}
	}()
	return sync.OnceFunc(func() {
		p.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	})
}

// left returns how many jobs are not acknowledged.
func (p *producer) left() int64 {
	p.t.Helper()
	n, err := p.client.XLen(p.ctx, streamJobs).Result()
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// progress waits for n more results.
func (p *producer) progress(n int64) {
	p.t.Helper()
	results := func() int64 {
		n, err := p.client.XLen(p.ctx, streamResults).Result()
		if err != nil {
			p.t.Fatal(err)
		}
		return n
	}
	n += results()
	exampletest.WaitFor(p.t, p.ctx, fmt.Sprintf("%d results", n), func() bool { return results() >= n })
}

// busy waits until there are jobs: where the workers are faster than the producer there may
// be none for a moment.
func (p *producer) busy() {
	p.t.Helper()
	exampletest.WaitFor(p.t, p.ctx, "jobs", func() bool { return p.left() > 0 })
}

// done waits until no job is left.
func (p *producer) done() {
	p.t.Helper()
	exampletest.WaitFor(p.t, p.ctx, "all jobs", func() bool { return p.left() == 0 })
}

// check fails the test unless there were as many jobs, and each was acknowledged once,
// with its answer.
func (p *producer) check(least int) {
	p.t.Helper()
	pending, err := p.client.XPending(p.ctx, streamJobs, group).Result()
	if err != nil || pending.Count != 0 {
		p.t.Errorf("pending: %v, %v", pending, err)
	}
	results, err := p.client.XRange(p.ctx, streamResults, "-", "+").Result()
	if err != nil {
		p.t.Fatal(err)
	}
	times := make(map[int]int)
	for _, r := range results {
		id, _ := r.Values["id"].(string)
		number, known := p.number[id]
		if times[number]++; !known || r.Values["answer"] != wantAnswer(number) || times[number] > 1 {
			p.t.Errorf("entry %s, job %d, result %d: %v", id, number, times[number], r.Values["answer"])
		}
	}
	if len(times) != len(p.number) || len(times) < least {
		p.t.Errorf("%d of %d jobs have a result, want at least %d", len(times), len(p.number), least)
	}
	p.t.Logf("%d jobs, %d results", len(p.number), len(results))
}

// TestQueue is TestEachJobOnce with jobs from Redis. A dispatcher is killed as well: what
// it had is done by the next one.
func TestQueue(t *testing.T) {
	o := systemdtest.Options{Packages: []string{"redis-server"}, All: []string{"252", "262"}}
	systemdtest.Run(t, o, func(t *testing.T, m *systemdtest.Machine) {
		m.Systemctl("start", "redis-server.service")
		defer m.Systemctl("stop", "redis-server.service")
		p := newProducer(t, m)
		s := startSite(t, m, "-claim 1s -queue redis://"+redisAddress+"/0")
		stop := p.feed()
		defer func() { stop() }()
		for i := range reloads {
			p.progress(jobs / reloads)
			s.mishap(i)
			switch i {
			case 6:
				stop()
				m.Systemctl("restart", "redis-server.service")
				p.awaitRedis()
				stop = p.feed()
			case 18:
				s.m.Output("kill", "-KILL", exampletest.Serving(t, m, service))
			}
			p.busy()
			exampletest.Reload(t, m, service)
		}
		stop()
		p.done()
		p.check(jobs)
		t.Logf("%d jobs were done again", s.jobsAgain())

		p.client.FlushAll(p.ctx)
		p.number = make(map[string]int)
		if err := p.add(1); err != nil {
			t.Fatal(err)
		}
		p.done()
		p.check(1)
	})
}

// TestQueuePassword: Redis is told the password of the environment, where the URL has
// none.
func TestQueuePassword(t *testing.T) {
	t.Setenv(envPassword, "hunter2")
	for user, want := range map[string]string{"": "hunter2", ":secret@": "secret"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		said := make(chan string, 1)
		go func() {
			c, err := ln.Accept()
			ln.Close() // one is enough, and no retry gets through
			if err != nil {
				return
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(30 * time.Second))
			b := make([]byte, 4096)
			n, _ := c.Read(b)
			said <- string(b[:n])
		}()
		if _, err := openQueue(t.Context(), options{queue: "redis://" + user + ln.Addr().String(), workers: 1}, nil); err == nil {
			t.Error("what says nothing is taken for Redis")
		}
		if got := <-said; !strings.Contains(got, want) {
			t.Errorf("Redis was told %q, want %s", got, want)
		}
	}
}

// TestNoQueue: a service whose Redis is not there does not start, and says so, but no
// password.
func TestNoQueue(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"localhost", "-queue: redis: invalid URL scheme"},
		{"redis://:secret@127.0.0.1:x/0", "-queue: it cannot be parsed"},
		{"redis://:secret@127.0.0.1:1/0", "-queue: Redis at 127.0.0.1:1: create group"},
	} {
		_, err := openQueue(t.Context(), options{queue: c.url, workers: 1}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want %q", c.url, err, c.want)
		}
	}
}
