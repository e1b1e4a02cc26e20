package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// An upload is a POST whose body is not whole yet: its handler waits for the rest.
type upload struct {
	conn   net.Conn
	answer *bufio.Reader
}

const firstHalf, secondHalf = "hold", "fast"

// startUpload returns once the handler reads the body.
func startUpload(t *testing.T, m *systemdtest.Machine) *upload {
	t.Helper()
	conn, err := m.Dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	u := &upload{conn, bufio.NewReader(conn)}
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(firstHalf+secondHalf))
	r, err := http.ReadResponse(u.answer, nil)
	if err != nil || r.StatusCode != http.StatusContinue {
		t.Fatalf("the upload is answered %v, %v", r, err)
	}
	if _, err := io.WriteString(conn, firstHalf); err != nil {
		t.Fatal(err)
	}
	return u
}

// finish sends the rest, and returns the answer.
func (u *upload) finish() (string, error) {
	if _, err := io.WriteString(u.conn, secondHalf); err != nil {
		return "", err
	}
	r, err := http.ReadResponse(u.answer, nil)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

// says returns a condition for waitFor: the status has this text.
func says(t *testing.T, m *systemdtest.Machine, text string) func() bool {
	return func() bool {
		out, err := handoffd(t, m, "status")
		return err == nil && strings.Contains(out, text)
	}
}

// TestReloadDuringDrain: a generation that has work left does not hold up the next
// reload, and finishes its work.
func TestReloadDuringDrain(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --drain-timeout 5m -- /usr/local/bin/holdfast-http -drain-timeout 5m\n")
		result := underLoad(t, m, loadtest.Options{Clients: 8, KeepAlive: true}, func(load *loadtest.Load) {
			upload := startUpload(t, m)
			for n := range 3 {
				m.Systemctl("reload", service)
				progress(t, load, 100)
				if status, err := handoffd(t, m, "status"); err != nil || !strings.Contains(status, "1           draining") ||
					!strings.Contains(status, fmt.Sprintf("%d           serving", n+2)) {
					t.Errorf("generation 1 does not drain beside generation %d: %v\n%s", n+2, err, status)
				}
			}
			if answer, err := upload.finish(); err != nil || answer != firstHalf+secondHalf {
				t.Errorf("the upload is answered %q, %v", answer, err)
			}
			poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
		})
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
	})
}

// TestDrainTimeout: a generation that does not end in time, nor asks for more, is
// killed, and only what it still held is lost.
func TestDrainTimeout(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		// Its successors are of another make, for plaingo has losses of its own.
		const path = "/usr/local/bin/next"
		m.InstallFile(path, systemdtest.Build(t, plainGo), 0o755)
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --drain-timeout 1s -- "+path+"\n")
		first := serving(t, m)
		upload := startUpload(t, m)
		m.InstallFile(path, systemdtest.Build(t, httpProgram), 0o755)
		sockets := func() int { return strings.Count(m.Output("sh", "-c", "ls -l /proc/"+first+"/fd || true"), "socket:") }
		before := sockets()
		m.Systemctl("reload", service)
		poll.Until(t, "the first to accept no more", func() bool { return sockets() < before })
		result := underLoad(t, m, loadtest.Options{Clients: 8, KeepAlive: true}, func(load *loadtest.Load) {
			poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
			if answer, err := upload.finish(); err == nil {
				t.Errorf("the upload is answered %q by a generation that was killed", answer)
			}
			progress(t, load, 100)
		})
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
		if log, want := m.Journal("-u", service, "GENERATION=1"), "did not end in time"; !strings.Contains(log, want) {
			t.Errorf("the journal does not say %q of generation 1:\n%s", want, log)
		}
	})
}

// TestHoldExpires: a successor that is neither committed nor aborted in time is
// undone.
func TestHoldExpires(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --hold-timeout 1s -- /usr/local/bin/holdfast-http\n")
		before := serving(t, m)
		result := underLoad(t, m, loadtest.Options{Clients: 8, KeepAlive: true}, func(load *loadtest.Load) {
			progress(t, load, 100)
			if out, err := handoffd(t, m, "reload", "--hold"); err != nil {
				t.Fatalf("reload --hold: %v: %s", err, out)
			}
			poll.Until(t, "the verdict", says(t, m, "generation 2 undone"))
			poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
			progress(t, load, 100)
		})
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
		if after := serving(t, m); after != before {
			t.Errorf("%s serves, and before it was %s", after, before)
		}
		if out, err := handoffd(t, m, "commit"); exitCode(t, err) != exitUndone {
			t.Errorf("a commit afterwards exits with %d: %s", exitCode(t, err), out)
		}
		m.Systemctl("reload", service)
	})
}
