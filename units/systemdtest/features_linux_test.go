package systemdtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
)

// TestWhatServicesUse checks what a container gets wrong at first, each on a
// unit of its own.
func TestWhatServicesUse(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		for _, c := range []struct{ name, service, want string }{
			{"DynamicUser", "DynamicUser=yes\nStateDirectory=app\nExecStart=/bin/sh -c 'touch $$STATE_DIRECTORY/f; test $(stat -c %%u $$STATE_DIRECTORY/f) = $(id -u) -a $(id -u) -ge 61184 && echo mine'", "mine"},
			{"PrivateUsers", "PrivateUsers=yes\nExecStart=/bin/sh -c 'grep -c 4294967295 /proc/self/uid_map; ls /proc/1/exe 2>&1 >/dev/null | grep -o denied'", "0\ndenied"},
			{"PrivateNetwork", "PrivateNetwork=yes\nExecStart=/bin/sh -c 'tail -n +3 /proc/net/dev | wc -l'", "1"},
			{"PrivateTmp", "PrivateTmp=yes\nExecStart=/bin/sh -c 'ls -A /tmp | wc -l'", "0"},
			{"PrivateDevices", "PrivateDevices=yes\nExecStart=/bin/sh -c 'echo x >/dev/null && test ! -e /dev/console && echo private'", "private"},
			{"ProtectSystem", "ProtectSystem=strict\nExecStart=/bin/sh -c 'touch /usr/f 2>&1 | grep -o Read-only'", "Read-only"},
			{"RuntimeDirectory", "RuntimeDirectory=app\nExecStart=/bin/sh -c 'echo $$RUNTIME_DIRECTORY'", "/run/app"},
			{"NoNewPrivileges", "NoNewPrivileges=yes\nSystemCallFilter=@system-service\nExecStart=/bin/grep -o NoNewPrivs.*1 /proc/self/status", "NoNewPrivs:\t1"},
			{"devices", "ExecStart=/bin/sh -c 'test -w /dev/console -a -c /dev/ptmx -a -d /dev/shm -a -d /dev/mqueue && echo there'", "there"},
			{"names", "ExecStart=/bin/sh -c 'uname -n; getent hosts localhost | grep -c localhost'", "holdfast\n1"},
		} {
			m.InstallUnit("app.service", "[Service]\nType=oneshot\nSyslogIdentifier="+c.name+"\n"+c.service+"\n")
			if _, err := m.TrySystemctl("start", "app.service"); err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if got := m.Journal("-t", c.name); got != c.want {
				t.Errorf("%s: the service said %q, want %q", c.name, got, c.want)
			}
		}
	})
}

// splitScript moves its processes into cgroups of its own, kills the one group,
// and stays in the other.
const splitScript = `#!/bin/sh -e
own=/sys/fs/cgroup$(tail -n 1 /proc/self/cgroup | cut -d: -f3)
mkdir "$own/sup" "$own/gen"
echo 0 >"$own/sup/cgroup.procs"
mkfifo /run/moved
sh -c 'echo 0 >"$0/cgroup.procs"; echo moved >/run/moved; exec sleep 1000' "$own/gen" &
read answer </run/moved
if [ -e "$own/gen/cgroup.kill" ]; then echo 1 >"$own/gen/cgroup.kill"; else kill -KILL $!; fi
wait $! 2>/dev/null || echo "$answer and ended with $?"
rmdir "$own/gen"
echo removed
exec sleep 1000
`

func TestDelegatedCgroup(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		m.WriteFile("/opt/split", []byte(splitScript), 0o755)
		m.InstallUnit("parent.service", "[Service]\nDelegate=yes\nExecStart=/opt/split\n")
		m.Systemctl("start", "parent.service")
		const want = "moved and ended with 137\nremoved"
		poll.Until(t, "the service says "+want, func() bool {
			return m.Journal("-u", "parent.service", "-t", "split") == want
		})
		// The hierarchy begins at the machine.
		path := m.Property("parent.service", "ControlGroup")
		if path != "/system.slice/parent.service" {
			t.Errorf("the unit's group is %s", path)
		}
		if _, err := os.Stat(filepath.Join(m.group, path, "sup")); err != nil {
			t.Errorf("the host does not see the unit's groups below the machine's: %v", err)
		}
	})
}

// TestUserManager starts a unit under a `systemd --user`.
func TestUserManager(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		m.Systemctl("start", "user@0.service")
		m.WriteFile("/etc/systemd/user/mine.service", []byte("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo I am $MANAGERPID'\n"), 0o644)
		user := func(args ...string) string {
			return m.Output(append([]string{"env", "XDG_RUNTIME_DIR=/run/user/0", "systemctl", "--user"}, args...)...)
		}
		if got := user("is-system-running", "--wait"); got != "running" {
			t.Errorf("the user manager is %s", got)
		}
		user("daemon-reload")
		user("start", "mine.service")
		if got := user("show", "-P", "Result", "mine.service"); got != "success" {
			t.Errorf("the user's unit ended with %s", got)
		}
	})
}
