package systemdtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"golang.org/x/sys/unix"
)

func TestMachine(t *testing.T) {
	leaktest.Check(t)
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		if want := "systemd " + strconv.Itoa(m.Version()); !strings.HasPrefix(m.Output("systemctl", "--version"), want) {
			t.Errorf("the version is not %q", want)
		}
		if state := m.Systemctl("is-system-running"); state != "running" {
			t.Errorf("the machine is %s", state)
		}
		if first := m.Output("cat", "/proc/1/comm"); first != "systemd" {
			t.Errorf("PID 1 is %q", first)
		}
		if boots := m.Journal("_PID=1"); !strings.Contains(boots, "Startup finished") {
			t.Errorf("no end of a boot in the journal:\n%s", boots)
		}

		m.InstallUnit("greet.service", `[Service]
Type=oneshot
RemainAfterExit=yes
Environment=WHOM=world
ExecStart=/bin/echo hello $WHOM
`)
		m.Systemctl("start", "greet.service")
		if got := m.Journal("-u", "greet.service", "-t", "echo"); got != "hello world" {
			t.Errorf("the journal of the unit is %q", got)
		}
		for property, want := range map[string]string{
			"ActiveState": "active", "Type": "oneshot", "ExecMainStatus": "0", "BusName": "", "Description": "greet.service",
		} {
			if got := m.Property("greet.service", property); got != want {
				t.Errorf("%s is %q, want %q", property, got, want)
			}
		}

		// A drop-in is read without asking for it.
		m.InstallUnit("greet.service.d/whom.conf", "[Service]\nEnvironment=WHOM=moon\n")
		m.Systemctl("restart", "greet.service")
		if got := m.Journal("-u", "greet.service", "-t", "echo"); got != "hello world\nhello moon" {
			t.Errorf("after a drop-in the journal of the unit is %q", got)
		}
		m.WriteFile("/run/systemd/system/late.service", []byte("[Unit]\nDescription=Came late\n[Service]\nExecStart=/bin/true\n"), 0o644)
		m.DaemonReload()
		if got := m.Property("late.service", "Description"); got != "Came late" {
			t.Errorf("after a reload the description is %q", got)
		}
	})
}

func TestSystemctlTellsWhyItFailed(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		m.InstallUnit("sad.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo no cheese left; exit 42'\n")
		_, err := m.TrySystemctl("start", "sad.service")
		if err == nil {
			t.Fatal("a unit that fails was started")
		}
		for _, want := range []string{"systemctl start sad.service: exit status 1", "status=42", "no cheese left"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in the error:\n%v", want, err)
			}
		}
		m.Systemctl("reset-failed", "sad.service")
	})
}

func TestAFailedTestShowsItsMachine(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		v := judge(t, func(t testing.TB) {
			m := bootSame(t, m)
			m.InstallUnit("last.service", "[Service]\nType=oneshot\nExecStart=/bin/echo last words\n")
			m.Systemctl("start", "last.service")
			m.Property("last.service", "Cheese")
		})
		if !v.failed {
			t.Error("a property that there is not passed for one")
		}
		for _, want := range []string{`no property "Cheese"`, "Welcome to", "Startup finished", "last words"} {
			if !strings.Contains(v.said, want) {
				t.Errorf("%q is not in what the failed test said:\n%s", want, v.said)
			}
		}
	})
}

func TestFilesInside(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		before := listing(t, "/etc", "/usr/local/bin", "/srv")
		m.WriteFile("/etc/app/deep/config", []byte("a\x00b"), 0o600)
		if got := string(m.ReadFile("/etc/app/deep/config")); got != "a\x00b" {
			t.Errorf("read %q", got)
		}
		if got := m.Output("stat", "-c", "%a %U %s", "/etc/app/deep/config"); got != "600 root 3" {
			t.Errorf("the file is %q", got)
		}
		// What is mounted inside is reached too, and links are the machine's.
		m.Output("sh", "-c", "echo tmp >/tmp/t; ln -s /tmp/t /srv/link; mkdir -p /run/x; echo run >/run/x/y")
		if got := string(m.ReadFile("/srv/link")); got != "tmp\n" {
			t.Errorf("through a link: %q", got)
		}
		if got := string(m.ReadFile("/var/run/x/y")); got != "run\n" {
			t.Errorf("through /var/run: %q", got)
		}
		// A program is replaced while it runs.
		m.InstallFile("/usr/local/bin/nap", m.Path("/bin/sleep"), 0o755)
		m.InstallUnit("nap.service", "[Service]\nType=exec\nExecStart=/usr/local/bin/nap 1000\n")
		m.Systemctl("start", "nap.service")
		m.InstallFile("/usr/local/bin/nap", m.Path("/bin/true"), 0o755)
		if got := m.Property("nap.service", "ActiveState"); got != "active" {
			t.Errorf("the service whose program was replaced is %s", got)
		}
		if after := listing(t, "/etc", "/usr/local/bin", "/srv"); after != before {
			t.Errorf("the host's files have changed:\n%s\nwere:\n%s", after, before)
		}
	})
}

// bootSame boots another machine of the same root.
func bootSame(t testing.TB, m *Machine) *Machine {
	return Boot(t, Options{Root: m.source})
}

// listing is what the host's folders hold.
func listing(t *testing.T, dirs ...string) string {
	var b strings.Builder
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b.WriteString(filepath.Join(dir, e.Name()) + " ")
		}
	}
	return b.String()
}

func TestTheHostStaysAsItIs(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		for name, command := range map[string]string{
			"a sysctl of the host's":  "echo 1 >/proc/sys/kernel/sysrq",
			"a setting of the host's": "echo 1 >/sys/kernel/profiling",
		} {
			m.InstallUnit("reach.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c '"+command+"'\n")
			if _, err := m.TrySystemctl("start", "reach.service"); err == nil {
				t.Errorf("%s was changed from inside", name)
			}
		}
		m.InstallUnit("caps.service", "[Service]\nType=oneshot\nExecStart=/bin/grep CapBnd /proc/self/status\n")
		m.Systemctl("start", "caps.service")
		caps, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(m.Journal("-u", "caps.service", "-t", "grep"), "CapBnd:")), 16, 64)
		if err != nil || caps&(1<<unix.CAP_SYS_ADMIN) == 0 || caps&(1<<unix.CAP_SYS_TIME|1<<unix.CAP_SYS_MODULE) != 0 {
			t.Errorf("units are bounded to capabilities %x, %v", caps, err)
		}
		m.Output("sh", "-c", "echo 1234 >/proc/sys/net/core/somaxconn")
		if mine, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err != nil || string(mine) == "1234\n" {
			t.Errorf("the host's network settings changed: %s, %v", mine, err)
		}
	})
}

func TestBuildTestRunsInside(t *testing.T) {
	leaktest.Check(t)
	program := BuildTest(t)
	if again := BuildTest(t); again != program {
		t.Errorf("built twice: %s, %s", program, again)
	}
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		m.InstallFile("/opt/helper", program, 0o755)
		m.InstallUnit("helper.service", "[Service]\nType=oneshot\nEnvironment="+helpertest.Variable+"=greet\nExecStart=/opt/helper from inside\n")
		m.Systemctl("start", "helper.service")
		if got := m.Journal("-u", "helper.service", "-t", "helper"); got != "hello from inside" {
			t.Errorf("the helper said %q", got)
		}
	})
}

func TestBuild(t *testing.T) {
	program := Build(t, "./mkroot")
	out, err := exec.Command(program, "1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `there is no systemd "1" among the roots`) {
		t.Errorf("mkroot 1: %v, %s", err, out)
	}
	if v := judge(t, func(t testing.TB) { Build(t, "./none") }); !v.failed || !strings.Contains(v.said, "go build") || !strings.Contains(v.said, "none") {
		t.Errorf("a package that is not there: %+v", v)
	}
	if v := judge(t, func(t testing.TB) { Build(t, "./internal/roots") }); !v.failed || !strings.Contains(v.said, "makes no program") {
		t.Errorf("a package that is no program: %+v", v)
	}
}
