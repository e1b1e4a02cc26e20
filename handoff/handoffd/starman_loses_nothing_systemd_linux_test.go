package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	psgi           = "/srv/holdfast-starman/app.psgi"
	starmanSocket  = "holdfast-starman.socket"
	starmanService = "holdfast-starman.service"
	starmanWorkers = 5
	starmanFiles   = "--pid-file=/run/holdfast-starman/pid --status-file=/run/holdfast-starman/status"
)

// startServer runs the same under start_server, as its users have it.
const startServer = `[Service]
ExecStart=/usr/bin/start_server --port=8086 --signal-on-hup=QUIT --signal-on-term=QUIT --pid-file=/run/start-server.pid --status-file=/run/start-server.status -- /usr/bin/starman --preload-app --workers 5 ` + psgi + `
ExecReload=/usr/bin/start_server --restart --pid-file=/run/start-server.pid --status-file=/run/start-server.status
KillMode=mixed
`

// A starman is a service that is Starman.
type starman struct {
	m       *systemdtest.Machine
	service string
	address string
}

// answers has the application answer with text from the next reload on.
func (s starman) answers(text string) {
	s.application(`sub { select undef, undef, undef, 0.005; [200, ["Content-Type" => "text/plain"], ["` + text + `"]] }`)
}

// version is what a version of the application answers.
func (s starman) version(n int) string { return fmt.Sprintf("%s, version %d", s.service, n) }

func (s starman) application(perl string) { s.m.WriteFile(psgi, []byte(perl+"\n"), 0o644) }

// get returns what the service answers, or what went wrong.
func (s starman) get(t *testing.T) string {
	t.Helper()
	client := http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.m.Dial}}
	r, err := client.Get("http://" + s.address)
	if err != nil {
		return err.Error() // one that stops loses requests
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// load sends requests, each on a connection of its own, before, while and after f
// runs, and returns what became of them.
func (s starman) load(t *testing.T, f func(load *loadtest.Load)) loadtest.Counts {
	t.Helper()
	const before, after = 50, 50
	load, err := loadtest.Start(t.Context(), loadtest.Options{
		URL: "http://localhost/", Address: s.address, Dial: s.m.Dial,
		Clients: 16, Rate: 300, Duration: 10 * time.Minute, Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		load.Stop()
		load.Wait()
	}()
	progress(t, load, before)
	f(load)
	progress(t, load, after)
	load.Stop()
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return result.Total.Counts
}

// reload brings in so many new versions of the application, and returns what that
// costs the clients.
func (s starman) reload(t *testing.T, times int) loadtest.Counts {
	t.Helper()
	counts := s.load(t, func(load *loadtest.Load) {
		for i := range times {
			want := s.version(i + 1)
			s.answers(want)
			s.m.Systemctl("reload", s.service)
			poll.Until(t, want, func() bool { return s.get(t) == want })
			progress(t, load, 50)
		}
	})
	t.Logf("%s: %d reloads: %v", s.service, times, counts)
	return counts
}

// restart returns what a restart costs the clients.
func (s starman) restart(t *testing.T) loadtest.Counts {
	t.Helper()
	counts := s.load(t, func(*loadtest.Load) { s.m.Systemctl("restart", s.service) })
	t.Logf("%s: a restart: %v", s.service, counts)
	return counts
}

// TestStarman: Starman as Debian has it, which knows Server::Starter and nothing of
// this module, under handoffd and under start_server.
//
// Starman loses requests by itself when it stops on QUIT: a worker that is woken for a
// connection, or waits for the first bytes on it, ends and resets it. Under
// start_server that is about one for each stop, in a reload too, and it refuses clients
// in a restart. With --pause-workers there is none.
func TestStarman(t *testing.T) {
	const reloads = 2
	o := systemdtest.Options{Packages: []string{"starman"}, All: []string{"252", "262"}}
	systemdtest.Run(t, o, func(t *testing.T, m *systemdtest.Machine) {
		ours, theirs := installStarman(t, m)
		m.Systemctl("start", starmanSocket, starmanService)
		reload := ours.reload(t, reloads)
		// From now on a new one has longer than Perl takes to find out that the
		// application is broken.
		m.InstallUnit(starmanService+".d/test.conf", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run "+
			"--compat server-starter --stop-signal QUIT --pause-workers 10s --probation 8s "+starmanFiles+" -- /usr/bin/starman --preload-app --workers 5 "+psgi+"\n")
		restart := ours.restart(t)
		// None, mostly; but a worker that had a connection all the time, on a machine
		// that is too slow for its clients, is told to end as it is.
		for what, counts := range map[string]loadtest.Counts{"reloads": reload, "a restart": restart} {
			if lost := counts.Cut + counts.Reset; lost != counts.Failed() || lost > starmanWorkers {
				t.Errorf("%s: %v, want at most one cut or reset for each worker", what, counts)
			}
		}
		// By the tool that is there already, which returns when the old one is gone.
		ours.answers("the third")
		m.Output("sh", "-c", "/usr/bin/start_server --restart "+starmanFiles)
		t.Run("broken", func(t *testing.T) { breakStarman(t, ours, "the third") })
		m.Systemctl("stop", starmanSocket) // and the service runs on
		m.Output("/usr/bin/start_server", "--stop", "--pid-file=/run/holdfast-starman/pid")
		poll.Until(t, "the end of the service", func() bool { return m.Property(starmanService, "ActiveState") == "inactive" })

		theirs.answers(theirs.version(0))
		m.Systemctl("start", theirs.service)
		poll.Until(t, "start_server", func() bool {
			return strings.Contains(m.Output("sh", "-c", "cat /run/start-server.status || true"), ":")
		})
		their := theirs.reload(t, reloads).Failed() + theirs.restart(t).Failed()
		m.Systemctl("stop", theirs.service)
		if our := reload.Failed() + restart.Failed(); our >= their {
			t.Errorf("%d requests failed with handoffd, and %d with start_server", our, their)
		}
	})
}

// breakStarman: an application that does not load is undone, and none of the clients
// of the one that does, and answers want, notices.
func breakStarman(t *testing.T, s starman, want string) {
	s.application(`die "the application is broken"`)
	counts := s.load(t, func(*loadtest.Load) {
		if out, err := s.m.TrySystemctl("reload", s.service); err == nil {
			t.Errorf("the reload succeeds: %s", out)
		}
	})
	if counts.Failed() != 0 {
		t.Errorf("clients notice: %v", counts)
	}
	for range 10 {
		if got := s.get(t); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	status, err := s.m.Command(ctx, "/usr/local/bin/handoffd", "status", "--control", "/run/holdfast-starman/control").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, status)
	}
	for what, text := range map[string]string{"status": string(status), "journal": s.m.Journal("-u", s.service)} {
		if !strings.Contains(text, "the application is broken") || !strings.Contains(text, "undone") {
			t.Errorf("the %s does not say why:\n%s", what, text)
		}
	}
	t.Logf("%s: a reload that is undone: %v", s.service, counts)
}

// installStarman installs both services.
func installStarman(t *testing.T, m *systemdtest.Machine) (ours, theirs starman) {
	t.Helper()
	m.InstallFile("/usr/local/bin/handoffd", systemdtest.Build(t, "."), 0o755)
	for _, name := range []string{starmanSocket, starmanService} {
		text, err := units.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(name, text)
	}
	m.InstallUnit("start-server.service", startServer)
	ours, theirs = starman{m, starmanService, "127.0.0.1:8085"}, starman{m, "start-server.service", "127.0.0.1:8086"}
	ours.answers(ours.version(0))
	return ours, theirs
}
