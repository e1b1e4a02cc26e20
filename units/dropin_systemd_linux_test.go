package units

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestDropInInstances: a drop-in for a template is for each instance, one for an
// instance for that alone, and each has its own handoffd.
func TestDropInInstances(t *testing.T) {
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		for _, name := range []string{"web", "one"} {
			m.InstallUnit(name+"@.socket", "[Socket]\nListenStream=/run/"+name+"-%i.sock\nFileDescriptorName=http\n")
			m.InstallUnit(name+"@.service", "[Service]\nType=notify\nExecStart=/usr/local/bin/holdfast-http\nPIDFile=/run/"+name+"-%i.pid\nNonBlocking=yes\n")
		}
		x := manager{t: t, m: m}
		for _, name := range []string{"web@", `one@a-b`} {
			x.install(rendered(t, Description{Name: name, Kind: KindDropIn, Command: []string{"/usr/local/bin/holdfast-http"}}))
		}
		for instance, ours := range map[string]bool{"web@a": true, "web@a-b": true, "one@a-b": true, "one@a": false} {
			m.Systemctl("start", instance+".socket", instance+".service")
			defer m.Systemctl("stop", instance+".socket", instance+".service")
			path := "/run/" + strings.Replace(instance, "@", "-", 1) + ".sock"
			client := http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return m.Dial(ctx, "unix", path)
			}}}
			ask := func() {
				t.Helper()
				answer, err := client.Get("http://localhost/")
				if err != nil {
					t.Fatalf("%s: %v", instance, err)
				}
				answer.Body.Close()
			}
			ask()
			if !ours {
				continue
			}
			for _, verb := range []string{"reload", "restart", "reload"} {
				m.Systemctl(verb, instance+".service")
				ask()
			}
			if text := m.Property(instance+".service", "StatusText"); !strings.Contains(text, "generation 4 serving") {
				t.Errorf("the status of %s is %q", instance, text)
			}
			control := "/run/" + strings.Replace(instance, "@", "-", 1) + "-handoffd/control"
			m.Output("test", "-S", control)
		}
		if text := m.Property("one@a.service", "ExecMainPID"); m.Output("cat", "/proc/"+text+"/comm") == "handoffd" {
			t.Error("the drop-in for one instance is for another, too")
		}
	})
}

// TestDropInResetsMatter: with what fights in the unit, handoffd that was killed comes
// back as the main process, and nothing ends generations behind its back.
func TestDropInResetsMatter(t *testing.T) {
	const unit = `[Service]
Type=notify
ExecStart=/bin/sh -c 'echo $$$$ >/run/fight.pid; exec /usr/local/bin/holdfast-http'
PIDFile=/run/fight.pid
ExecStop=/bin/touch /run/stopped
ExecStopPost=/bin/sh -c 'touch /run/signaled; /bin/kill -0 1'
NonBlocking=yes
`
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		m.InstallUnit("fight.socket", "[Socket]\nListenStream=/run/fight.sock\nFileDescriptorName=http\n")
		m.InstallUnit("fight.service", unit)
		around, err := Parse("fight.service", unit)
		if err != nil {
			t.Fatal(err)
		}
		x := manager{t: t, m: m}
		x.install(rendered(t, Description{
			Name: "fight", Kind: KindDropIn, Around: around.Options,
			Command: []string{"/bin/sh", "-c", "echo $$ >/run/fight.pid; exec /usr/local/bin/holdfast-http"},
		}))
		m.Systemctl("start", "fight.socket", "fight.service")
		before := m.Property("fight.service", "MainPID")
		m.Output("kill", "-9", before)
		poll.Until(t, "handoffd to be the main process again", func() bool {
			main := m.Property("fight.service", "MainPID")
			return main != before && main != "0" && m.Property("fight.service", "ActiveState") == "active" && m.Output("cat", "/proc/"+main+"/comm") == "handoffd"
		})
		m.Systemctl("restart", "fight.service")
		m.Systemctl("stop", "fight.socket", "fight.service")
		for _, file := range []string{"/run/stopped", "/run/signaled"} {
			if out := m.Output("sh", "-c", "ls "+file+" 2>/dev/null || true"); out != "" {
				t.Errorf("%s is there: the unit's own command was run", file)
			}
		}
	})
}

// TestDropInShowsHandoffd: a unit that hides all but its program, or lets no other run
// nor speak over Unix sockets, does so no more for handoffd.
func TestDropInShowsHandoffd(t *testing.T) {
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		for name, lines := range map[string]string{
			"tmpfs":    "TemporaryFileSystem=/usr/local\nBindReadOnlyPaths=/usr/local/bin/holdfast-http\n",
			"noexec":   "NoExecPaths=/usr/local\nExecPaths=/usr/local/bin/holdfast-http\n",
			"families": "RestrictAddressFamilies=AF_INET AF_INET6\n",
		} {
			service, socket := name+".service", name+".socket"
			unit := "[Service]\nType=notify\nExecStart=/usr/local/bin/holdfast-http\nNonBlocking=yes\n" + lines
			m.InstallUnit(socket, "[Socket]\nListenStream=/run/"+name+".sock\nFileDescriptorName=http\n")
			m.InstallUnit(service, unit)
			around, err := Parse(service, unit)
			if err != nil {
				t.Fatal(err)
			}
			x := manager{t: t, m: m}
			x.install(rendered(t, Description{Name: name, Kind: KindDropIn, Around: around.Options, Command: []string{"/usr/local/bin/holdfast-http"}}))
			m.Systemctl("start", socket, service)
			m.Systemctl("reload", service)
			if text := m.Property(service, "StatusText"); !strings.Contains(text, "generation 2 serving") {
				t.Errorf("the status of %s is %q", service, text)
			}
			m.Systemctl("stop", socket, service)
		}
	})
}
