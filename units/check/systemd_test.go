package check

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// candidates are values of all kinds.
var candidates = append(strings.Fields(`simple exec forking oneshot dbus notify notify-reload idle
	control-group process mixed none no always on-success on-failure on-abnormal on-abort on-watchdog main all
	continue stop kill default both ipv6-only yes true t on off false f y n 1 0 5 4096 -1 4294967295 4294967296
	10s 1min 2h3s 1.5s 10q infinity 5m SIGTERM maybe
	disconnected self identity full managed strict private read-only tmpfs`), "", "1min 30s", "5 s", "Yes", "0x10", "1e3")

// TestValuesAsSystemd: systemd takes the values that the rules take for readable, and
// ignores those that they do not.
func TestValuesAsSystemd(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		for _, section := range []string{"Unit", "Service", "Socket"} {
			file := "/run/values/" + section + map[bool]string{true: ".socket", false: ".service"}[section == "Socket"]
			text, lines := "["+section+"]\n", 1
			tried := make(map[int]units.Option)
			for _, name := range slices.Sorted(maps.Keys(values)) {
				k := knownOptions()[name]
				for _, v := range candidates {
					anything := v != "" && values[name]("anything at all") // what it is the rules do not ask
					if k.sections[len(k.sections)-1] == section && k.since <= m.Version() && (k.gone == 0 || k.gone > m.Version()) && newValues[name][v] <= m.Version() && !anything {
						text += name + "=" + v + "\n"
						lines++
						tried[lines] = units.Option{Section: section, Name: name, Value: v}
					}
				}
			}
			m.WriteFile(file, []byte(text), 0o644)
			out, _ := m.Command(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput() // there is no ExecStart=
			ignored := 0
			for line, o := range tried {
				_, warning, _ := strings.Cut(string(out), fmt.Sprintf("%s:%d:", file, line))
				warning, _, _ = strings.Cut(warning, "\n")
				warned := strings.Contains(warning, "gnoring")
				if warned {
					ignored++
				}
				if readable(o) == warned {
					t.Errorf("%s=%s: systemd %d takes it: %v; the rules: %v", o.Name, o.Value, m.Version(), !warned, readable(o))
				}
			}
			if ignored == 0 || ignored == len(tried) {
				t.Errorf("[%s]: systemd ignores %d of %d values: %s", section, ignored, len(tried), out)
			}
		}
	})
}

// TestFatalValuesAsSystemd: systemd gives up at the values that fatal is about, and at no
// others.
func TestFatalValuesAsSystemd(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(`
DynamicUser=maybe
DynamicUser=
DynamicUser=yes
DynamicUser=0
PrivateTmp=maybe
WorkingDirectory=srv
WorkingDirectory=-srv
WorkingDirectory=~
WorkingDirectory=-~
WorkingDirectory=~/srv
WorkingDirectory=
WorkingDirectory=$HOME
WorkingDirectory=/srv/../srv
WorkingDirectory=/srv/..
WorkingDirectory=/srv/./a//b/
WorkingDirectory=/srv/..a
WorkingDirectory="/srv"
WorkingDirectory=/a b
WorkingDirectory=%t/a
RootDirectory=-/srv
RootDirectory=srv
RootDirectory=
RootImage=image
User=a:b
User=a/b
User=a.b
User=a b
User=1a
User=-1
User=größe
User=
Group=a:b
Group=adm
SupplementaryGroups=adm a/b
SupplementaryGroups=adm mail
ExecStart=bin/app
ExecStart=./app
ExecStart=-bin/app
ExecStart=@bin/app app
ExecStart="bin/app"
ExecStartPre=bin/app
ExecStop=bin/app
ExecReload=bin/app
ExecReload=/bin/app; bin/app
ExecReload=/bin/app ; bin/app
ExecReload=/bin/app ./config
ExecReload=app
ExecReload=/bin/../bin/app
ExecReload=/bin/app "a
ExecReload=/bin/app a'
ExecReload=/bin/app \q
ExecReload=-/bin/app "a
`), "\n")
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		src := Folders{Dirs: SystemDirs, Root: m.Path("/")}
		const text = "[Service]\nType=oneshot\nExecStart=/bin/true\n"
		names := []string{"-p", "LoadState"}
		for i, line := range lines {
			names = append(names, fmt.Sprintf("value-%d.service", i))
			m.InstallUnit(names[i+2], text+line+"\n")
		}
		m.InstallUnit("dropped.service", text)
		m.InstallUnit("dropped.service.d/test.conf", "[Service]\nNice=1\nDynamicUser=maybe\nNice=2\n")
		m.DaemonReload()
		states := strings.Fields(m.Systemctl(append([]string{"show"}, names...)...))
		if len(states) != len(lines) {
			t.Fatalf("the states of %d units are %q", len(lines), states)
		}
		refused := 0
		for i, line := range lines {
			u, err := read(src, names[i+2])
			if err != nil {
				t.Fatal(err)
			}
			if want := states[i] == "LoadState=bad-setting"; (u.broken != nil) != want {
				t.Errorf("%s: systemd %d says %s, and the rules %v", line, m.Version(), states[i], u.broken)
			}
			if u.broken != nil {
				refused++
			}
		}
		if refused < 15 || refused > len(lines)-15 {
			t.Errorf("of %d units %d are refused", len(lines), refused)
		}
		u, err := read(src, "dropped.service")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := u.value("Service", "Nice"), m.Property("dropped.service", "Nice"); got != want || want != "1" {
			t.Errorf("a drop-in at which systemd gives up says Nice=%s, and the rules read %s", want, got)
		}
	})
}

// TestOptionsAsSystemd: systemd knows the options that the table says it knows.
func TestOptionsAsSystemd(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		section, seen := "", 0
		knows := make(map[string]bool)
		for line := range strings.Lines(m.Output("sh", "-c", "$(ls /usr/lib/systemd/systemd /lib/systemd/systemd 2>/dev/null | head -n 1) --dump-configuration-items")) {
			line = strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(line, "["); ok {
				section = strings.TrimSuffix(name, "]")
			} else if name, _, ok := strings.Cut(line, "="); ok {
				knows[section+" "+name] = true
			}
		}
		for name, k := range knownOptions() {
			for _, section := range k.sections {
				seen++
				if want := k.since <= m.Version() && (k.gone == 0 || k.gone > m.Version()); knows[section+" "+name] != want {
					t.Errorf("[%s] %s=: systemd %d knows it: %v, the table says %v", section, name, m.Version(), !want, want)
				}
			}
		}
		for option := range knows {
			section, name, _ := strings.Cut(option, " ")
			k, ok := knownOptions()[name]
			if slices.Contains([]string{"Unit", "Service", "Socket", "Install"}, section) && (!ok || !slices.Contains(k.sections, section)) {
				t.Errorf("[%s] %s= is missing from the table", section, name)
			}
		}
		if seen < 500 {
			t.Errorf("the table has %d options", seen)
		}
	})
}

// TestMergeAsSystemd: the drop-ins of a unit are those that systemd reads, in the same
// order, and so are those of aliases and of instances.
func TestMergeAsSystemd(t *testing.T) {
	const text = "[Service]\nExecStart=/bin/true\n"
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		for _, path := range []string{
			"etc/systemd/system/a-b-c.service", "usr/lib/systemd/system/a-b-c.service",
			"usr/lib/systemd/system/t-u@.service", "etc/systemd/system/t-u@two.service",
		} {
			m.WriteFile("/"+path, []byte(text), 0o644)
		}
		for _, path := range []string{
			"etc/systemd/system/a-b-c.service.d/20.conf", "run/systemd/system/a-b-c.service.d/20.conf", "run/systemd/system/a-b-c.service.d/05.conf",
			"usr/lib/systemd/system/a-b-c.service.d/30.conf", "usr/lib/systemd/system/a-b-.service.d/10.conf", "etc/systemd/system/a-.service.d/15.conf",
			"usr/lib/systemd/system/a-.service.d/20.conf", "etc/systemd/system/service.d/01.conf", "usr/lib/systemd/system/service.d/99.conf",
			"etc/systemd/system/a-b-c.service.d/ignored.txt", "usr/lib/systemd/system/a-b-c.service.d/40.conf",
			"etc/systemd/system/t-u@.service.d/10.conf", "etc/systemd/system/t-u@one.service.d/20.conf", "usr/lib/systemd/system/t-u@one.service.d/10.conf",
			"usr/lib/systemd/system/t-@.service.d/30.conf", "usr/lib/systemd/system/t-@one.service.d/31.conf", "usr/lib/systemd/system/t-.service.d/32.conf",
			"usr/lib/systemd/system/alias.service.d/50.conf", "etc/systemd/system/a-.service.d/30.conf", "usr/lib/systemd/system/a-b-c.service.d/60.conf",
			"etc/systemd/system/service.d/60.conf", "etc/systemd/system/alias.service.d/20.conf",
		} {
			m.WriteFile("/"+path, []byte("[Unit]\nDocumentation=man:x(1)\n"), 0o644)
		}
		m.Output("ln", "-s", "/dev/null", "/etc/systemd/system/a-b-c.service.d/40.conf")
		m.Output("ln", "-s", "a-b-c.service", "/etc/systemd/system/alias.service")
		m.Output("ln", "-s", "/dev/null", "/etc/systemd/system/masked.service")
		m.DaemonReload()
		src := Folders{Dirs: SystemDirs, Root: m.Path("/")}
		for _, name := range []string{"a-b-c.service", "alias.service", "t-u@one.service", "t-u@two.service", "masked.service"} {
			f, err := src.Find(name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			inside := func(path string) string { return "/" + strings.TrimPrefix(path, filepath.Clean(m.Path("/"))+"/") }
			var dropIns []string
			for _, path := range f.DropIns {
				dropIns = append(dropIns, inside(path))
			}
			if want := strings.Fields(m.Property(name, "DropInPaths")); !slices.Equal(dropIns, want) && !f.Masked { // which needs none
				t.Errorf("%s has the drop-ins\n%q, want\n%q", name, dropIns, want)
			}
			if want := m.Property(name, "LoadState") == "masked"; f.Masked != want {
				t.Errorf("%s is masked: %v, want %v", name, f.Masked, want)
			}
			if want := m.Property(name, "FragmentPath"); !f.Masked && strings.TrimPrefix(want, "/usr") != strings.TrimPrefix(inside(f.Fragment), "/usr") {
				t.Errorf("%s is %s, want %s", name, inside(f.Fragment), want)
			}
			if want := m.Property(name, "Id"); f.Name != want {
				t.Errorf("%s is called %s, want %s", name, f.Name, want)
			}
		}
	})
}
