package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/poll"
)

// odd is a program that says READY=1 at once, and does as MODE says.
func odd() error {
	n, err := notify.Open()
	if err == nil {
		err = n.Ready(context.Background())
	}
	if err != nil {
		return err
	}
	switch mode := os.Getenv("MODE"); mode {
	case "ends":
		return fmt.Errorf("as told")
	case "idle":
		select {}
	case "elsewhere":
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		return http.Serve(ln, nil)
	case "late": // until there is a file
		for {
			if _, err := os.Stat(os.Getenv("FILE")); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	ln, err := net.FileListener(os.NewFile(3, "http"))
	if err != nil {
		return err
	}
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("MODE") == "broken" {
			http.Error(w, "no database", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "an odd one")
	}))
}

// become has the next generation be odd.
func (d *instance) become(mode string, more ...string) {
	d.t.Helper()
	text := strings.Join(append(more, "MODE="+mode, helper+"=odd"), "\n")
	if err := os.WriteFile(d.env, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// expectUndone reloads, and wants that undone for a reason, with the old generation as
// it was.
func (d *instance) expectUndone(reason string) {
	d.t.Helper()
	was := d.get()
	out, code := verb(d.t, "reload", "--control", d.control)
	if code != exitUndone || !strings.Contains(out, reason) {
		d.t.Errorf("reload exits with %d, want %d and %q:\n%s", code, exitUndone, reason, out)
	}
	poll.Until(d.t, "the end of the successor", d.alone) // which accepts until then
	if got := d.get(); got != was {
		d.t.Errorf("the service answers %q, and %q before", got, was)
	}
}

func (d *instance) expectDone() {
	d.t.Helper()
	if out, code := verb(d.t, "reload", "--control", d.control); code != 0 {
		d.t.Errorf("reload exits with %d: %s", code, out)
	}
}

// TestNeverAccepts: READY=1 of a program that then waits for no client is undone soon,
// with what it does instead.
func TestNeverAccepts(t *testing.T) {
	d := standalone(t, "--accept-timeout", "200ms", "--", executable(t))
	const reason = "200ms after READY=1 it holds "
	d.become("idle")
	d.expectUndone(reason + d.socket + " and does not wait on it\n")
	d.become("elsewhere")
	d.expectUndone(reason + d.socket + " and does not wait on it; listens on 127.0.0.1:")
	d.become("serves")
	d.expectDone()
	if got := d.get(); got != "an odd one" {
		t.Errorf("got %q", got)
	}
	d.become("idle")
	d.expectUndone(reason + d.socket)
}

// TestFirstNeverAccepts: a service whose first generation waits for no client does not
// start, and says why.
func TestFirstNeverAccepts(t *testing.T) {
	address := filepath.Join(t.TempDir(), "http")
	cmd := command(t, "run", "--accept-timeout", "200ms", "--listen", "http="+address, "--environment-file", filepath.Join(t.TempDir(), "env"), "--", executable(t))
	d := &instance{t: t, env: cmd.Args[len(cmd.Args)-3]}
	d.become("idle")
	out, err := cmd.CombinedOutput()
	if exitCode(t, err) != 1 || !strings.Contains(string(out), "200ms after READY=1 it holds "+address+" and does not wait on it") {
		t.Errorf("handoffd ends with %v:\n%s", err, out)
	}
}

// TestAcceptLater: a standby says READY=1 and waits for clients some other time.
func TestAcceptLater(t *testing.T) {
	d := standalone(t, "--accept-later", "--accept-timeout", "1ms", "--", executable(t))
	d.become("idle")
	d.expectDone()
}

// TestReadyAccept: with --ready accept a program is ready when it waits for clients, and
// its READY=1 is nothing.
func TestReadyAccept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	d := standalone(t, "--ready", "accept", "--ready-timeout", "2s", "--", executable(t))
	d.become("ends")
	d.expectUndone("its main process ended: exit status 1")
	d.become("idle")
	d.expectUndone("it was not ready in time: it holds " + d.socket + " and does not wait on it")
	d.become("late", "FILE="+file)
	done := make(chan string)
	go func() {
		out, code := verb(t, "reload", "--control", d.control)
		done <- fmt.Sprintf("%d: %s", code, out)
	}()
	poll.Until(t, "a successor", func() bool { return !d.alone() })
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := <-done; !strings.HasPrefix(out, "0: ") {
		t.Errorf("reload exits with %s", out)
	}
	poll.Until(t, "the end of the predecessor", d.alone)
	if got := d.get(); got != "an odd one" {
		t.Errorf("got %q", got)
	}
}

// TestReexecWhileStarting: a replacement of handoffd while it waits for a generation to
// accept changes nothing of that.
func TestReexecWhileStarting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	d := standalone(t, "--accept-timeout", "10m", "--probe", "http://http/", "--", executable(t))
	d.become("late", "FILE="+file)
	done := make(chan string)
	go func() {
		out, code := verb(t, "reload", "--control", d.control)
		done <- fmt.Sprintf("%d: %s", code, out)
	}()
	poll.Until(t, "READY=1 of a successor", func() bool {
		g := d.status().Generations
		return len(g) == 2 && g[1].PID != 0
	})
	if out, code := verb(t, "reexec", "--control", d.control); code != 0 {
		t.Fatalf("reexec exits with %d: %s", code, out)
	}
	if g := d.status().Generations; len(g) != 2 || g[1].State != "starting" {
		t.Errorf("after it: %+v", g)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := <-done; !strings.HasPrefix(out, "0: ") {
		t.Errorf("reload exits with %s", out)
	}
	if got := d.get(); got != "an odd one" {
		t.Errorf("got %q", got)
	}
}

// TestProbe: a successor that answers badly is undone with its answer, though the old
// one answers well on the same socket.
func TestProbe(t *testing.T) {
	d := standalone(t, "--probe", "http://http/", "--probe-timeout", "2s", "--probe-times", "3", "--", executable(t))
	d.become("broken")
	d.expectUndone("probe http://http/ at " + d.socket + ": it answered 503 Service Unavailable: no database")
	d.become("serves")
	d.expectDone()
	if got := d.get(); got != "an odd one" {
		t.Errorf("got %q", got)
	}
}

// TestProbeByCommand: a command is told whom it probes, and its last line is the reason.
func TestProbeByCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "check")
	const script = "#!/bin/sh\necho \"$1 generation $HANDOFF_GENERATION\" >&2\nkill -0 $MAINPID || exit 4\n[ $HANDOFF_GENERATION != 2 ]\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	d := standalone(t, "--probe", path+" bad:", "--probe-timeout", "1s", "--", executable(t))
	d.expectUndone("probe " + path + " bad:: exit status 1: bad: generation 2")
	d.expectDone()
	if err := d.stop(syscall.SIGTERM); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
}

// TestNobodyAccepts: that clients wait and nobody accepts is in the status and in the
// log, and that somebody does again.
func TestNobodyAccepts(t *testing.T) {
	d := standalone(t)
	pid := d.status().Generations[0].PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	poll.Until(t, "all threads to stand still", func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return err == nil && !slices.ContainsFunc(stats, func(path string) bool {
			text, err := os.ReadFile(path)
			return err == nil && !strings.Contains(string(text), ") T ")
		})
	})
	d.visitor()
	d.visitor()
	status := func() string {
		out, code := verb(t, "status", "--control", d.control)
		if code != 0 {
			t.Fatalf("status exits with %d: %s", code, out)
		}
		return out
	}
	want := "note: 2 clients wait at " + d.socket + " (http), and nobody has accepted for "
	poll.Until(t, want, func() bool { return strings.Contains(status(), want) })
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "no note", func() bool { return !strings.Contains(status(), "nobody has accepted") })
	if err := d.stop(syscall.SIGTERM); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	for _, text := range []string{"warn: 2 clients wait at ", "info: clients are accepted at " + d.socket + " (http)"} {
		if !strings.Contains(d.out.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, d.out.String())
		}
	}
}

// TestCrashLoop: while nothing serves any more, status says why, with the last lines,
// and by its exit status; and handoffd gives up when it was told to.
func TestCrashLoop(t *testing.T) {
	d := standalone(t, "--give-up", "3s", "--", executable(t))
	pid := d.status().Generations[0].PID
	d.become("ends")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "a crash loop in the status", func() bool {
		out, code := verb(t, "status", "--control", d.control)
		return code == exitDown && strings.Contains(out, "\ndown: generation ") && strings.Contains(out, "exited 1 after ") && strings.Contains(out, "\n  | as told\n")
	})
	<-d.done
	if code := exitCode(t, d.err); code != 1 {
		t.Errorf("handoffd exits with %d, want as the program did", code)
	}
	if want := "generations died within 3s, each before it had served for 10s"; !strings.Contains(d.out.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, d.out.String())
	}
}
