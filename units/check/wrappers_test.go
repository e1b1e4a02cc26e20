package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// proofs are command lines of the wrappers. What is run says whether it is the process
// that LISTEN_PID names. A wrapper is in several lines where flags matter.
var proofs = strings.Split(strings.TrimSpace(`
env A=b
env -u A
nice -n 5
nohup
setpriv --no-new-privs
chrt -b 0
ionice -c 3
taskset 1
prlimit --nofile=512
stdbuf -o L
chroot /
setarch x86_64
linux64
choom -n 100 --
systemd-cat -t app
nsenter -t 1 -n
nsenter -t 1 -n -p
unshare -n
unshare --pid --fork
unshare -fp
numactl --localalloc
setuidgid root
envdir /srv
envuidgid root
softlimit -o 100
gosu root
doas -n
su root -s
runuser -u root --
sudo -n
timeout 60
timeout -k 5 60
script -q -e -c
flock /run/lock-file
flock -F /run/lock-file
setsid
setsid -w
tini --
dumb-init
catatonit --
bwrap --bind / / --dev-bind /dev /dev
strace -o /dev/null
strace -D -o /dev/null
dbus-run-session --
systemd-inhibit
nice -n 5 timeout 60
env A=b setsid -w
`), "\n")

// notProven are the wrappers that no package of a reasonable size has in the releases of
// the roots.
var notProven = strings.Fields("npm npx yarn yarnpkg pnpm docker uv tini-static linux32 time watch")

// TestWrappers: whether a wrapper becomes the program, or runs it as a child, is what the
// table says.
func TestWrappers(t *testing.T) {
	packages := []string{"bubblewrap", "catatonit", "daemontools", "dumb-init", "gosu", "numactl", "opendoas", "strace", "sudo", "tini"}
	systemdtest.Run(t, systemdtest.Options{Packages: packages, All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile("/usr/local/bin/tell", []byte("#!/bin/sh\n[ \"$LISTEN_PID\" = $$ ] && yes=itself || yes=child\necho $yes >/run/told.$TEST_NUMBER\n"), 0o755)
		m.WriteFile("/etc/doas.conf", []byte("permit nopass keepenv root\n"), 0o600)
		m.WriteFile("/etc/sudoers.d/test", []byte("Defaults !env_reset\nroot ALL=(ALL) NOPASSWD: ALL\n"), 0o440)
		m.InstallUnit("told.socket", "[Socket]\nListenStream=/run/told.sock\n")
		m.InstallUnit("told.service", "[Service]\nExecStart=/bin/true\n")
		for i, proof := range proofs {
			m.InstallUnit(fmt.Sprintf("told-%d.service", i), fmt.Sprintf("[Service]\nType=oneshot\nKillMode=process\nSockets=told.socket\nEnvironment=TEST_NUMBER=%d HOME=/root\nExecStart=/usr/bin/env %s /usr/local/bin/tell\n", i, proof))
		}
		m.Systemctl("start", "told.socket")
		seen := make(map[string]bool)
		proven := 0
		for i, proof := range proofs {
			cmd := parseCommand("/usr/bin/env " + proof + " /usr/local/bin/tell")
			for _, word := range strings.Fields(proof) {
				seen[word] = true
			}
			if _, err := m.Command(t.Context(), "which", strings.Fields(proof)[0]).Output(); err != nil {
				t.Logf("there is no %s", proof)
				continue
			}
			proven++
			unit := fmt.Sprintf("told-%d.service", i)
			out, _ := m.TrySystemctl("start", unit)
			told := waitFor(m, fmt.Sprintf("/run/told.%d", i))
			want := "itself"
			if forks(cmd) != "" {
				want = "child"
			}
			if told != want {
				t.Errorf("%s: the program is %q, and the table says %q: %s %s", proof, told, want, out, m.Journal("-u", unit, "-n", "5"))
			}
		}
		if proven < len(proofs)-3 {
			t.Errorf("of %d command lines %d were tried", len(proofs), proven)
		}
		for name := range wrappers {
			if !seen[name] && !slices.Contains(notProven, name) {
				t.Errorf("%s is not proven", name)
			}
		}
	})
}

// waitFor is the text of a file that a program writes which may outlive its unit's start.
func waitFor(m *systemdtest.Machine, path string) string {
	return strings.TrimSpace(m.Output("sh", "-c", "for i in $(seq 100); do [ -s "+path+" ] && exec cat "+path+"; sleep 0.05; done; true"))
}

// TestWrapperFlags: the program behind the flags of a wrapper is found.
func TestWrapperFlags(t *testing.T) {
	for text, want := range map[string]bool{
		"/usr/bin/env A=b /bin/app": false, "/usr/bin/env -u timeout /bin/app": false, "/usr/bin/env /bin/sh -c 'true; app'": true, "/usr/bin/nice -n 5 /usr/bin/timeout 5 /bin/app": true,
		"/usr/bin/flock -F /run/l /bin/app": false, "/usr/bin/flock -nF /run/l /bin/app": false, "/usr/bin/flock -n /run/l /bin/app -F": true, "/usr/bin/unshare -n /bin/app --fork": false, "/usr/bin/unshare -nf /bin/app": true,
		"/usr/bin/taskset 1 timeout 5 app": true, "/usr/bin/env": false, "/usr/bin/npm start": true, "/usr/bin/setpriv --reuid 5 app": false, "/usr/bin/chrt -r 50 /bin/app": false,
	} {
		if got := forks(parseCommand(text)) != ""; got != want {
			t.Errorf("%s forks: %v", text, got)
		}
	}
}
