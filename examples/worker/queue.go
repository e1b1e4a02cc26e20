package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The queue: a producer says
//
//	XADD jobs * job TEXT
//
// and finds in the stream jobs:results an entry with the fields id, which is what XADD
// has returned, and answer, "ok RESULT" or "failed REASON".
//
// A job that was given to a consumer stays pending until it is acknowledged. It is
// acknowledged with its answer, in one script: so there is one answer even where it was
// done twice, and none that was not acknowledged. A dispatcher says of the jobs that it
// holds, again and again, that they are not idle; when it has ended in any way, others
// claim them.
const (
	streamJobs    = "jobs"
	streamResults = "jobs:results"
	group         = "workers"
	fieldJob      = "job"

	maxResults  = 1 << 20          // the stream of results is cut to about that
	readBlock   = time.Second      // how long one read waits, and so how long a drain may
	claimPause  = time.Second      // between looking for jobs that nobody works on
	openTimeout = 10 * time.Second // of Redis, at the start
)

var acknowledge = redis.NewScript(`
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
	redis.call('XDEL', KEYS[1], ARGV[2])
	redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'id', ARGV[2], 'answer', ARGV[3])
end`)

// A queue takes jobs from Redis.
type queue struct {
	client   *redis.Client
	readers  int
	claim    time.Duration // a job that was idle for as long is nobody's
	do       func(ctx context.Context, job string) (answer string, err error)
	consumer string
}

// silent is a logger of go-redis.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// envPassword has Redis's password where the URL has none, as for redis-cli: a command
// line is there for all to see.
const envPassword = "REDISCLI_AUTH"

// openQueue fails if Redis does not answer: then the service is not fit to run.
func openQueue(ctx context.Context, o options, do func(context.Context, string) (string, error)) (*queue, error) {
	ro, err := redis.ParseURL(o.queue)
	if _, unparsed := errors.AsType[*url.Error](err); unparsed { // it may quote a password
		err = errors.New("it cannot be parsed, want redis://USER:PASSWORD@HOST:PORT/DB")
	}
	if err != nil {
		return nil, fmt.Errorf("-queue: %w", err)
	}
	ro.Password = cmp.Or(ro.Password, os.Getenv(envPassword))
	ro.ContextTimeoutEnabled = true
	redis.SetLogger(silent{}) // what fails is an error here
	ro.PoolSize = 2*o.workers + 2
	ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	q := &queue{client: redis.NewClient(ro), readers: o.workers, claim: o.claim, do: do, consumer: host}
	if err := q.createGroup(ctx); err != nil {
		q.client.Close()
		return nil, fmt.Errorf("-queue: Redis at %s: %w", ro.Addr, err)
	}
	return q, nil
}

// createGroup makes the streams ready to be read, if they are not.
func (q *queue) createGroup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	err := q.client.XGroupCreateMkStream(ctx, streamJobs, group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("create group %q of stream %q: %w", group, streamJobs, err)
	}
	return nil
}

func (q *queue) Close() error { return q.client.Close() }

// run takes jobs until ctx ends, as many at once as there are workers, and returns when
// all are done or given back.
func (q *queue) run(ctx context.Context) error {
	var readers sync.WaitGroup
	for range q.readers {
		readers.Go(func() { q.read(ctx) })
	}
	readers.Wait()
	return nil
}

func (q *queue) read(ctx context.Context) {
	var claimed time.Time
	for pause := backoffFirst; ctx.Err() == nil; {
		var job *redis.XMessage
		var err error
		if time.Since(claimed) >= claimPause {
			if job, err = q.next(q.abandoned); job == nil {
				claimed = time.Now()
			}
		}
		if job == nil && err == nil {
			job, err = q.next(q.fresh)
		}
		if job != nil {
			err = q.work(ctx, *job)
		}
		if err == nil {
			pause = backoffFirst
			continue
		}
		if strings.HasPrefix(err.Error(), "NOGROUP") { // somebody has deleted the stream
			err = errors.Join(err, q.createGroup(ctx))
		}
		slog.Warn("the queue fails", "error", err, "next", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, backoffMost)
	}
}

// next returns a job, or nil. It does not end with the context of run: a job that Redis
// has given away in that moment would be nobody's for a while.
func (q *queue) next(get func(context.Context) ([]redis.XMessage, error)) (*redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	jobs, err := get(ctx)
	if errors.Is(err, redis.Nil) || err == nil && len(jobs) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &jobs[0], nil
}

// fresh waits for a job that nobody has had.
func (q *queue) fresh(ctx context.Context) ([]redis.XMessage, error) {
	streams, err := q.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: q.consumer, Streams: []string{streamJobs, ">"}, Count: 1, Block: readBlock,
	}).Result()
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

// abandoned claims a job whose dispatcher has ended, or given it back.
func (q *queue) abandoned(ctx context.Context) ([]redis.XMessage, error) {
	jobs, _, err := q.client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream: streamJobs, Group: group, Consumer: q.consumer, MinIdle: q.claim, Start: "0", Count: 1,
	}).Result()
	return jobs, err
}

// work has a job done, and acknowledges it.
func (q *queue) work(ctx context.Context, job redis.XMessage) error {
	holding := q.hold(job.ID)
	text, ok := job.Values[fieldJob].(string)
	var answer string
	err := fmt.Errorf("entry %s has no field %q", job.ID, fieldJob)
	if ok && len(text) < maxLine && !strings.ContainsAny(text, "\r\n") {
		answer, err = q.do(ctx, text)
	} else if ok {
		err = fmt.Errorf("the job is longer than %d bytes, or has several lines", maxLine-1)
	}
	holding()
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if errors.Is(err, errNotDone) {
		return q.idle(ctx, job.ID, q.claim) // for the next dispatcher to claim at once
	}
	err = acknowledge.Run(ctx, q.client, []string{streamJobs, streamResults}, group, job.ID, answerLine(answer, err), maxResults).Err()
	if err != nil && !errors.Is(err, redis.Nil) { // as a script that returns nothing is answered
		return fmt.Errorf("acknowledge %s: %w", job.ID, err)
	}
	return nil
}

// hold keeps others from claiming a job, until release is called.
func (q *queue) hold(id string) (release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(q.claim / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				limited, cancel := context.WithTimeout(ctx, q.claim/3)
				q.idle(limited, id, 0) // if it fails, there is the next one
				cancel()
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// idle says for how long nobody has worked on a job.
func (q *queue) idle(ctx context.Context, id string, d time.Duration) error {
	return q.client.Do(ctx, "XCLAIM", streamJobs, group, q.consumer, 0, id, "IDLE", d.Milliseconds(), "JUSTID").Err()
}
