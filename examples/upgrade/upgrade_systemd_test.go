package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	name    = "holdfast-upgrade"
	service = name + ".service"
	address = "127.0.0.1:8083"
)

// build returns the program as a release of it is built.
func build(t *testing.T, version, bad string) []byte {
	t.Helper()
	return exampletest.Release(t, "-X main.version="+version+" -X main.bad="+bad)
}

// A walk is an operator who upgrades the service.
type walk struct {
	t *testing.T
	m *systemdtest.Machine
}

// install puts a release where the program is.
func (w walk) install(program []byte) {
	w.t.Helper()
	w.m.WriteFile("/usr/local/bin/"+name, program, 0o755)
}

// verb runs one of handoffd's, and returns what it says.
func (w walk) verb(args ...string) (string, error) {
	w.t.Helper()
	args = append(args, "--control", "/run/"+name+"/control")
	out, err := w.m.Command(exampletest.Deadline(w.t), "/usr/local/bin/handoffd", args...).CombinedOutput()
	return string(out), err
}

// health asks as often as it mostly takes to have an answer of each version that serves.
func (w walk) health() map[string]bool {
	w.t.Helper()
	answers := make(map[string]bool)
	for range 40 {
		c, err := w.m.Dial(w.t.Context(), "tcp", address)
		if err != nil {
			w.t.Fatal(err)
		}
		answer, err := get(c, "/health", true)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(answer.Body)
			answers[strings.TrimSpace(string(body))] = true
		}
		c.Close()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return answers
}

func get(c net.Conn, path string, last bool) (*http.Response, error) {
	c.SetDeadline(time.Now().Add(exampletest.Timeout))
	r, err := http.NewRequest("GET", "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	r.Close = last
	if err := r.Write(c); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c), r)
}

// serve waits until just these answer. One that is told to stop may take a connection
// more, and which of two takes the next one is not up to anybody.
func (w walk) serve(want ...string) {
	w.t.Helper()
	all := make(map[string]bool)
	for _, answer := range want {
		all[answer] = true
	}
	exampletest.WaitFor(w.t, exampletest.Deadline(w.t), fmt.Sprintf("answers %q alone", want), func() bool {
		return maps.Equal(w.health(), all)
	})
}

// TestUpgrade walks through an upgrade that is taken back, one that does not even
// start, and one that stays, while clients keep their connections.
func TestUpgrade(t *testing.T) {
	const clients, requests = 16, 200
	one, two, sick, broken := build(t, "1", ""), build(t, "2", ""), build(t, "2", "health"), build(t, "2", "start")
	systemdtest.Run(t, systemdtest.Options{All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		w, ctx := walk{t, m}, exampletest.Deadline(t)
		exampletest.Install(t, m, name)
		exampletest.InstallHandoffd(t, m)
		m.InstallUnit(service+".d/test.conf", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/"+name+" -drain-timeout 3s\n")
		w.install(one)
		m.Systemctl("start", name+".socket", service)
		defer m.Systemctl("stop", name+".socket", service)
		forever := endless(t, m)

		load, err := loadtest.Start(ctx, loadtest.Options{
			URL: "http://" + address + "/", Dial: m.Dial, Clients: clients, KeepAlive: true,
			Duration: exampletest.Timeout, Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			load.Stop()
			load.Wait()
		}()
		progress := func() {
			t.Helper()
			want := load.Counts().OK + requests
			exampletest.WaitFor(t, ctx, "more answers", func() bool { return load.Counts().OK >= want })
		}
		progress()
		w.serve("version 1 is well")

		w.install(sick)
		if out, err := w.verb("reload", "--hold"); err != nil {
			t.Fatalf("reload --hold: %v: %s", err, out)
		}
		progress()
		w.serve("version 1 is well", "version 2 is bad")
		if out, err := w.verb("abort"); err != nil {
			t.Fatalf("abort: %v: %s", err, out)
		}
		progress()
		w.serve("version 1 is well")

		w.install(broken)
		if out, err := w.verb("reload", "--hold"); err == nil || !strings.Contains(out, "this version does not start") {
			t.Errorf("a version that does not start: %v: %s", err, out)
		}
		progress()
		w.serve("version 1 is well")

		w.install(two)
		if out, err := w.verb("reload", "--hold"); err != nil {
			t.Fatalf("reload --hold: %v: %s", err, out)
		}
		progress()
		w.serve("version 1 is well", "version 2 is well")
		if out, err := w.verb("commit"); err != nil {
			t.Fatalf("commit: %v: %s", err, out)
		}
		progress()
		w.serve("version 2 is well")
		if said, err := forever(); err == nil || !strings.HasPrefix(said, "version 1 goes on\n") {
			t.Errorf("what never ends is not cut: %v: %q", err, said)
		}
		exampletest.WaitFor(t, ctx, "a log of what was cut", func() bool {
			log := m.Journal("-u", service)
			return strings.Contains(log, "holdfast-upgrade failed") && strings.Contains(log, "3s have passed")
		})

		load.Stop()
		result, err := load.Wait()
		if err == nil {
			err = result.Err()
		}
		if err != nil {
			t.Error(err)
		}
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
		t.Log(result.Total.Counts)
	})
}

// endless begins a request that does not end. What it returns waits until it is cut,
// and returns what came.
func endless(t *testing.T, m *systemdtest.Machine) func() (string, error) {
	t.Helper()
	c, err := m.Dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	answer, err := get(c, "/forever", false)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", answer.Status)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() (string, error) {
		b, err := io.ReadAll(answer.Body)
		return string(b), err
	}
}
