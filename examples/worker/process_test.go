package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestMain(m *testing.M) {
	helpertest.Main(m, map[string]func(args []string) error{
		"worker":  func([]string) error { return work(context.Background(), os.Stdin, os.Stdout) },
		"exits":   func([]string) error { return fmt.Errorf("this worker does not start") },
		"babbles": babble,
		"repeats": repeat,
		"heir":    inherit,
	})
}

// babble is a worker that answers without having been asked.
func babble([]string) error {
	if err := beReady(); err != nil {
		return err
	}
	fmt.Println("2 ok")
	select {}
}

// repeat is a worker that answers twice.
func repeat([]string) error {
	if err := beReady(); err != nil {
		return err
	}
	var number int
	fmt.Scan(&number)
	fmt.Printf("%[1]d ok\n%[1]d ok more\n", number)
	select {}
}

// inherit is a worker that leaves a process behind, which holds its output.
func inherit([]string) error {
	if err := beReady(); err != nil {
		return err
	}
	cmd := exec.Command("sleep", "3")
	cmd.Stdout = os.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	return fmt.Errorf("its child is %d", cmd.Process.Pid)
}

func beReady() error {
	n, err := notify.Open()
	if err != nil {
		return err
	}
	return n.Ready(context.Background())
}

// startProcess starts a helper as a worker.
func startProcess(t *testing.T, helper string, watchdog time.Duration) (*process, error) {
	t.Helper()
	t.Setenv(helpertest.Variable, helper)
	l := launcher{sockets: t.TempDir(), watchdog: watchdog}
	w, err := l.launch(exampletest.Deadline(t))
	if err != nil {
		return nil, err
	}
	return w.(*process), nil
}

func TestProcessDoesJobs(t *testing.T) {
	leaktest.Check(t)
	p, err := startProcess(t, "worker", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		answer, err := p.ask(jobText(1))
		if err != nil || answer != wantAnswer(1) {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	for job, want := range map[string]string{
		"":                          "failed the job is empty",
		"version":                   "ok 1",
		"sleep 1ms":                 "ok slept 1ms",
		"sleep":                     `failed time: invalid duration ""`,
		strings.Repeat("x", 4000):   "ok ",
		"sleep 1h2" + "\r" + "more": "failed ",
	} {
		if answer, err := p.ask(job); err != nil || !strings.HasPrefix(answer, want) {
			t.Errorf("%.20q: %q, %v, want %q", job, answer, err, want)
		}
	}
	p.finish()
	if p.err != nil {
		t.Errorf("the end: %v", p.err)
	}
}

// TestProcessEnds: whatever becomes of a worker is an error that says so.
func TestProcessEnds(t *testing.T) {
	for _, c := range []struct {
		name, helper, job string
		watchdog          time.Duration
		do                func(*process)
		want              string
	}{
		{"is killed", "worker", "sleep 1m", time.Minute, func(p *process) { p.cmd.Process.Kill() }, "signal: killed"},
		{"crashes", "worker", "crash", time.Minute, nil, "exit status 2"},
		{"hangs", "worker", "hang", 200 * time.Millisecond, nil, "no heartbeat, and the watchdog is 200ms"},
		{"is stopped", "worker", "x", 200 * time.Millisecond, func(p *process) { p.cmd.Process.Signal(syscall.SIGSTOP) }, "no heartbeat"},
		{"is idle and stopped", "worker", "", 200 * time.Millisecond, func(p *process) { p.cmd.Process.Signal(syscall.SIGSTOP) }, "no heartbeat"},
		{"babbles", "babbles", "", time.Minute, nil, `it says "2 ok", which answers no job`},
		{"repeats", "repeats", "", time.Minute, func(p *process) { p.ask("x") }, `it says "1 ok more", which answers no job`},
		{"hangs without a dispatcher", "worker", "", time.Minute, func(p *process) { io.WriteString(p.in, "1 hang\n"); p.in.Close() }, "exit status 1"},
		{"leaves a child", "heir", "", time.Minute, nil, "exit status 1"},
		{"does not start", "exits", "", time.Minute, nil, "exit status 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			p, err := startProcess(t, c.helper, c.watchdog)
			if err == nil {
				if c.do != nil {
					c.do(p)
				}
				if c.job != "" {
					_, err = p.ask(c.job)
				}
				<-p.ended()
				if c.job == "" {
					err = p.end()
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestHeart: a job that takes longer than the watchdog and gets on is not aborted, nor is
// a worker with nothing to do.
func TestHeart(t *testing.T) {
	leaktest.Check(t)
	const watchdog = 4 * time.Second
	p, err := startProcess(t, "worker", watchdog)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := p.ask("sleep 5s"); err != nil || answer != "ok slept 5s" {
		t.Errorf("%q, %v", answer, err)
	}
	select {
	case <-p.ended():
		t.Fatal(p.end())
	case <-time.After(watchdog + time.Second):
	}
	p.finish()
}

// TestStoppedDispatcher: heartbeats that wait to be heard count.
func TestStoppedDispatcher(t *testing.T) {
	leaktest.Check(t)
	p, err := startProcess(t, "worker", 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	script := fmt.Sprintf("kill -STOP %d; sleep 4; kill -CONT %d", pid, pid)
	if err := exec.Command("sh", "-c", script).Run(); err != nil {
		t.Fatal(err)
	}
	if answer, err := p.ask("sleep 500ms"); err != nil {
		t.Errorf("%q, %v", answer, err)
	}
	p.kill()
	<-p.ended()
}

func TestParse(t *testing.T) {
	usual := options{listen: "127.0.0.1:7008", workers: 4, watchdog: 10 * time.Second, drain: 20 * time.Second, claim: 30 * time.Second}
	more := usual
	more.workers, more.queue = 8, "redis://localhost"
	for _, c := range []struct {
		args   string
		want   options
		worker bool
		err    string
	}{
		{args: "", want: usual},
		{args: "work", worker: true},
		{args: "-workers 8 -queue redis://localhost", want: more},
		{args: "more", err: `unexpected argument "more"`},
		{args: "-workers 0", err: "-workers 0: want 1 to 1024"},
		{args: "-workers 1025", err: "-workers 1025: want 1 to 1024"},
		{args: "-watchdog 1ms", err: "-watchdog 1ms"},
		{args: "-claim 1ms", err: "-claim 1ms"},
		{args: "-drain-timeout 0", err: "-drain-timeout 0s: want more than 0"},
		{args: "-nonsense", err: "-nonsense"},
	} {
		o, worker, err := parse(strings.Fields(c.args))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.args, err, c.err)
			}
			continue
		}
		if err != nil || o != c.want || worker != c.worker {
			t.Errorf("%q: %+v, worker %t, %v", c.args, o, worker, err)
		}
	}
}
