package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const signalService = "holdfast-app-signal.service"

// onEachReloadingBySignal runs f where systemd has Type=notify-reload, with the pair
// for it installed.
func onEachReloadingBySignal(t *testing.T, f func(t *testing.T, m *systemdtest.Machine)) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		if m.Version() < 253 {
			t.Skipf("systemd %d has no Type=notify-reload", m.Version())
		}
		for _, name := range []string{"holdfast-app-signal.socket", signalService} {
			text, err := units.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			m.InstallUnit(name, text)
		}
		f(t, m)
	})
}

// TestReloadBySignal: Type=notify-reload, where systemctl waits for READY=1.
func TestReloadBySignal(t *testing.T) {
	const reloads, requests = 6, 500
	onEachReloadingBySignal(t, func(t *testing.T, m *systemdtest.Machine) {
		m.Systemctl("start", "holdfast-app-signal.socket", signalService)
		main := m.Property(signalService, "MainPID")
		o := loadtest.Options{Clients: 8, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		result := underLoad(t, m, o, func(load *loadtest.Load) {
			for i := range reloads {
				progress(t, load, requests)
				m.Systemctl("reload", signalService)
				if text, want := m.Property(signalService, "StatusText"), fmt.Sprintf("generation %d serving", i+2); !strings.Contains(text, want) {
					t.Errorf("after reload %d the status is %q, want %q", i+1, text, want)
				}
			}
			progress(t, load, requests)
		})
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
		if pid := m.Property(signalService, "MainPID"); pid != main {
			t.Errorf("the main PID is %s, was %s", pid, main)
		}
	})
}

// TestSignalIsAnswered: systemctl is not left waiting for a reload that cannot be.
func TestSignalIsAnswered(t *testing.T) {
	const path = "/usr/local/bin/next"
	onEachReloadingBySignal(t, func(t *testing.T, m *systemdtest.Machine) {
		good := m.ReadFile("/usr/local/bin/holdfast-http")
		m.WriteFile(path, good, 0o755)
		m.InstallUnit(signalService+".d/test.conf", "[Service]\nTimeoutStartSec=infinity\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- "+path+"\n")
		m.Systemctl("start", "holdfast-app-signal.socket", signalService)
		verb := func(ctx context.Context, args ...string) *exec.Cmd {
			cmd := m.Command(ctx, "/usr/local/bin/handoffd", args...)
			cmd.Env = append(cmd.Env, "RUNTIME_DIRECTORY=/run/holdfast-app-signal")
			return cmd
		}
		status := func() string {
			out, err := verb(t.Context(), "status").CombinedOutput()
			if notDown(err) != nil {
				t.Fatalf("status: %v: %s", err, out)
			}
			return string(out)
		}

		t.Run("too many wait", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
			defer cancel()
			if out, err := verb(ctx, "reload", "--hold").CombinedOutput(); err != nil {
				t.Fatalf("reload --hold: %v: %s", err, out)
			}
			// One more than may wait: as soon as one is refused, all others do.
			const reloads = 9
			ended := make(chan string, reloads)
			for i := range reloads {
				other := fmt.Sprint("/usr/local/bin/other-", i)
				m.Output("ln", "-s", path, other)
				go func() {
					out, err := verb(ctx, "reload", other).CombinedOutput()
					ended <- fmt.Sprintf("%v: %s", err, out)
				}()
			}
			const refused = "8 other reloads wait"
			if out := <-ended; !strings.Contains(out, refused) {
				t.Fatalf("a reload ends with %s, want %q", out, refused)
			}
			m.Systemctl("reload", signalService)
			if text, want := m.Property(signalService, "StatusText"), "refused: "+refused; !strings.Contains(text, want) {
				t.Errorf("the status is %q, want %q", text, want)
			}
			if text, want := status(), "ago: refused: "+refused; !strings.Contains(text, want) {
				t.Errorf("the status does not say %q:\n%s", want, text)
			}
			if out, err := verb(ctx, "abort").CombinedOutput(); err != nil {
				t.Fatalf("abort: %v: %s", err, out)
			}
			for range reloads - 1 {
				if out := <-ended; !strings.HasPrefix(out, "<nil>") {
					t.Errorf("a reload that waited ends with %s", out)
				}
			}
		})

		t.Run("nothing serves", func(t *testing.T) {
			before := m.Property(signalService, "MainPID")
			m.WriteFile(path, []byte("#!/bin/sh\nexit 4\n"), 0o755)
			for line := range strings.Lines(status()) {
				if f := strings.Fields(line); len(f) > 2 && f[1] == "serving" {
					m.Output("kill", "-KILL", f[2])
				}
			}
			poll.Until(t, "its end", func() bool { return strings.HasPrefix(status(), "down") })
			for range 2 {
				m.Systemctl("reload", signalService)
				if text, want := m.Property(signalService, "StatusText"), "exit status 4, and no other generation serves any more"; !strings.Contains(text, want) {
					t.Errorf("the status is %q, want %q", text, want)
				}
			}
			m.WriteFile(path, good, 0o755)
			m.Systemctl("reload", signalService)
			if text := status(); !strings.HasPrefix(text, "serving") {
				t.Errorf("after a reload with a good program it is:\n%s", text)
			}
			if pid := m.Property(signalService, "MainPID"); pid != before {
				t.Errorf("the main PID is %s, was %s", pid, before)
			}
		})
	})
}
