package handoff

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestReload: RELOADING=1 with the time, then READY=1 and the verdict, whatever
// became of it.
func TestReload(t *testing.T) {
	for _, c := range []struct{ reload, verdict string }{
		{"", "STATUS=reloaded"},
		{"1ms", "STATUS=reloaded"},
		{"fail", "STATUS=reload failed, the old configuration is in force: line 3 of the configuration is wrong"},
	} {
		t.Run(c.reload, func(t *testing.T) {
			m := newManager(t)
			addr := m.listen("http", "tcp", "127.0.0.1:0")
			g := m.start(appConfig{HTTP: inherited, Reload: c.reload})
			for i := range 3 {
				g.signal(syscall.SIGHUP)
				g.await("RELOADING=1", i+1)
				g.await("MONOTONIC_USEC=", i+1)
				g.await("READY=1", i+2)
				g.await(c.verdict, i+1)
			}
			get(t, addr)
			g.stop()
			g.await("STOPPING=1", 1)
			g.await("EXTEND_TIMEOUT_USEC=", 1)
		})
	}
	t.Run("asked for meanwhile", func(t *testing.T) {
		m := newManager(t)
		m.listen("http", "tcp", "127.0.0.1:0")
		g := m.start(appConfig{HTTP: inherited, Reload: "500ms"})
		g.signal(syscall.SIGHUP)
		g.await("RELOADING=1", 1)
		for range 3 { // remembered once, since the first may have read the old file
			g.signal(syscall.SIGHUP)
		}
		g.await("RELOADING=1", 2)
		g.await("READY=1", 3)
		g.stop()
		if n := strings.Count(strings.Join(g.said(), " "), "RELOADING=1"); n > 3 {
			t.Errorf("%d reloads", n)
		}
	})
	t.Run("stopped meanwhile", func(t *testing.T) {
		m := newManager(t)
		m.listen("http", "tcp", "127.0.0.1:0")
		g := m.start(appConfig{HTTP: inherited, Reload: "1h"})
		g.signal(syscall.SIGHUP)
		g.await("RELOADING=1", 1)
		g.stop()
		g.await("STOPPING=1", 1)
	})
}

// slow begins a request that takes so long, and returns once it is under way.
func slow(t *testing.T, g *generation, addr, d string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		client := &http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get("http://" + addr + "/slow?" + d)
		if err == nil {
			answer.Body.Close()
		}
		done <- err
	}()
	g.printed("slow " + d)
	return done
}

// TestInterrupts: a second SIGINT cuts the drain short, a repeated SIGTERM or
// SIGHUP changes nothing.
func TestInterrupts(t *testing.T) {
	for _, c := range []struct {
		name    string
		signals []os.Signal
		hurried bool
	}{
		{"two interrupts", []os.Signal{os.Interrupt, os.Interrupt}, true},
		{"SIGTERM twice", []os.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM}, false},
		{"SIGTERM and one interrupt", []os.Signal{syscall.SIGTERM, os.Interrupt}, false},
		{"SIGTERM and two interrupts", []os.Signal{syscall.SIGTERM, os.Interrupt, os.Interrupt}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newManager(t)
			addr := m.listen("http", "tcp", "127.0.0.1:0")
			g := m.start(appConfig{HTTP: inherited, DrainTimeout: poll.Patience})
			d := "2s" // longer than it takes to send the signals
			if c.hurried {
				d = "1h0m0s"
			}
			answered := slow(t, g, addr, d)
			for i, sig := range c.signals {
				g.signal(sig)
				g.await("STOPPING=1", 1)
				if i > 0 {
					// Signals of one kind that wait are one: let each arrive.
					time.Sleep(20 * time.Millisecond)
				}
			}
			if c.hurried {
				select {
				case <-g.exited:
				case <-time.After(5 * time.Second): // on a busy machine two may have been one all the same
					g.signal(os.Interrupt)
				}
			}
			err := g.wait()
			if answer := <-answered; (answer != nil) != c.hurried {
				t.Errorf("the client got %v", answer)
			}
			if (err != nil) != c.hurried || c.hurried && !strings.Contains(g.out.String(), errHurry.Error()) {
				t.Errorf("it ended with %v:\n%s", err, g.out.String())
			}
			g.close()
		})
	}
}

// TestSignalsWithoutManager: a plain server takes SIGHUP and SIGTERM all the same.
func TestSignalsWithoutManager(t *testing.T) {
	var out output
	cmd := helpertest.Command(t, "app")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(cmd.Env, `APP={"HTTP":"127.0.0.1:0","State":1}`, "GORACE=atexit_sleep_ms=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr := ""
	poll.Until(t, "it listens", func() bool {
		_, rest, ok := strings.Cut(out.String(), "http listens on ")
		if ok {
			addr, _, ok = strings.Cut(rest, "\n")
		}
		return ok
	})
	get(t, addr)
	cmd.Process.Signal(syscall.SIGHUP)
	time.Sleep(20 * time.Millisecond) // there is nobody to whom it says that it has reloaded
	get(t, addr)
	cmd.Process.Signal(syscall.SIGTERM)
	stuck := time.AfterFunc(poll.Patience, func() { cmd.Process.Signal(syscall.SIGQUIT) })
	defer stuck.Stop()
	if err := cmd.Wait(); err != nil || strings.Contains(out.String(), "report") {
		t.Errorf("it ended with %v:\n%s", err, out.String())
	}
}
