package check

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// valuesText are values of all kinds, one a line.
//
//go:embed testdata/values.txt
var valuesText string

// quirks are values that one systemd takes and another does not, or that are read
// otherwise than the others of their kind, and which the rules do not tell apart. A star
// stands for all values of an option.
var quirks = map[string][]string{
	"AllowedCPUs": {"4294967295"}, "AllowedMemoryNodes": {"4294967295"}, "StartupAllowedCPUs": {"4294967295"}, "StartupAllowedMemoryNodes": {"4294967295"},
	"CPUAffinity": {"4294967295"}, "NUMAMask": {"4294967295"},
	"CPUSchedulingPolicy": {"8", "15", "20", "80", "100", "1000", "4096", "10000", "10001", "70000", "0x10", "077", "0644", "644", "7777", "17777"}, "IOSchedulingClass": {"8"},
	"DefaultStartupMemoryLow": {"0", "0%"}, "IPIngressFilterPath": {"*"}, "IPEgressFilterPath": {"*"}, // files that are not there are a warning of their own
	"MessageQueueMessageSize": {"*"}, "PrivateMounts": {""}, "ProtectHostname": {""},
	"RestrictNetworkInterfaces": {"CAP_NET_BIND_SERVICE", "averyverylonginterfacename", "inactive-or-failed", "ignore-dependencies", "replace-irreversibly", "reboot-immediate"},
	"SocketBindAllow":           {"0", "0-3", "tcp:0", "0-7"}, "SocketBindDeny": {"0", "0-3", "tcp:0", "0-7"},
	"CacheDirectory": {"ipv4:tcp:80", "ipv6:udp:5"}, "LogsDirectory": {"ipv4:tcp:80", "ipv6:udp:5"}, "RuntimeDirectory": {"ipv4:tcp:80", "ipv6:udp:5"}, "StateDirectory": {"ipv4:tcp:80", "ipv6:udp:5"},
	"ConfigurationDirectory": {"fd:"}, "CoredumpFilter": {"99999999999999999999"}, "DisableControllers": {"cpu foo"}, "LogNamespace": {".service", ".app", `\x41`},
	"PassEnvironment": {`\x41`}, "UnsetEnvironment": {`\x41`}, "SetCredential": {"fd:"}, "TCPCongestion": {"%Z"}, "SystemCallFilter": {"read:EPERM", "@clock:5"}, "SystemCallLog": {"read:EPERM", "@clock:5"},
	"ExtensionImages": {"*"}, "ImportCredential": {"*"}, "LoadCredential": {"*"}, "LoadCredentialEncrypted": {"*"}, "LUOSession": {"*"}, "OOMRules": {"*"}, "RestrictFileSystems": {"*"},
	"RootImageOptions": {"*"}, "StandardInputData": {"*"}, "LogFilterPatterns": {"~"}, "RootImagePolicy": {"*"}, "MountImagePolicy": {"*"}, "ExtensionImagePolicy": {"*"},
	"PIDFile": kernelsOwn, "ListenFIFO": kernelsOwn, "ListenMessageQueue": kernelsOwn, "ListenUSBFunction": kernelsOwn, // 262 takes none of them

	// 247 gives up on the file at a wrong CPUAffinity=, looks at the two options of scheduling
	// together, and takes a colon in the name of a folder for a part of it.
	"247 CPUAffinity": {"*"}, "247 CPUSchedulingPriority": {"*"}, "247 CacheDirectory": {"*"}, "247 ConfigurationDirectory": {"*"}, "247 LogsDirectory": {"*"}, "247 RuntimeDirectory": {"*"},
	"247 StateDirectory": {"*"}, "247 BindToDevice": {"*"}, "247 MountAPIVFS": {""}, "247 StandardOutput": {"truncate:/x"}, "247 StandardError": {"truncate:/x"},
}

var kernelsOwn = []string{"/dev/null", "/dev/x", "/dev/sda", "/sys/fs/bpf/x", "/dev/null rw", "/dev/null rwx", "/dev/sda 100", "/dev/sda 5M", "/dev/sda 5X"}

// quirky reports whether a value is one of the quirks of a systemd.
func quirky(version int, name, value string) bool {
	all := slices.Concat(quirks[name], quirks[fmt.Sprint(version, " ", name)])
	return slices.Contains(all, "*") || slices.Contains(all, value)
}

// mayBeFatal are the options of which systemd does not ignore every wrong value.
func mayBeFatal(name string) bool {
	return strings.HasPrefix(name, "Exec") || slices.Contains(strings.Fields("User Group SocketUser SocketGroup SupplementaryGroups RootDirectory RootImage RootVerity RootMStack WorkingDirectory PIDFile"), name)
}

// remarks are what systemd says of lines that it obeys.
var remarks = regexp.MustCompile(`obsolete|Unit uses |Unit configured to use KillMode=none|has been deprecated|will be removed`)

// TestValuesAsSystemd: of each option of the table systemd takes the values that the rules
// take, and ignores, as a whole or in part, those that they do not.
func TestValuesAsSystemd(t *testing.T) {
	candidates := strings.Split(strings.TrimSuffix(valuesText, "\n"), "\n")
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		type place struct {
			section, name string
			line          int
		}
		tried := make(map[place]units.Option)
		var files []string
		for name, k := range knownOptions() {
			section := k.sections[len(k.sections)-1]
			if k.since > m.Version() || k.gone != 0 && k.gone <= m.Version() {
				continue
			}
			text, line := "["+section+"]\n", 1
			for _, v := range candidates {
				o := units.Option{Section: section, Name: name, Value: v}
				if fatal(o) || newValues[name][v] > m.Version() || quirky(m.Version(), name, v) || mayBeFatal(name) && strings.ContainsAny(v, "%*") || strings.Contains(v, "%i") || strings.Contains(v, "%t") {
					continue // known only once it is started
				}
				line++
				text += name + "=" + v + "\n"
				tried[place{section, name, line}] = o
			}
			file := "/run/values/" + section + "-" + name + map[bool]string{true: ".socket", false: ".service"}[section == "Socket"]
			m.WriteFile(file, []byte(text), 0o644)
			files = append(files, file)
		}
		said := make(map[place]string)
		warning := regexp.MustCompile(`/run/values/(\w+)-(\w+)\.\w+:(\d+): (.*)`)
		for some := range slices.Chunk(files, 40) {
			out, _ := m.Command(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no"}, some...)...).CombinedOutput() // there is no ExecStart=
			for _, w := range warning.FindAllStringSubmatch(string(out), -1) {
				if !remarks.MatchString(w[4]) {
					var line int
					fmt.Sscan(w[3], &line)
					said[place{w[1], w[2], line}] = w[4]
				}
			}
		}
		ignoredOnes := 0
		for at, o := range tried {
			text, warned := said[at]
			if warned {
				ignoredOnes++
			}
			good := reads(o) == taken
			if kind, ok := strings.CutPrefix(o.Name, "Listen"); ok && o.Value != "" {
				_, good = parseAddress(kind, o.Value)
			}
			if good == warned {
				t.Errorf("%s=%s: systemd %d takes it: %v (%s); the rules, of the kind %s: %v", o.Name, o.Value, m.Version(), !warned, text, knownOptions()[o.Name].kind, good)
			}
		}
		if len(tried) < 100_000 || ignoredOnes < len(tried)/4 || ignoredOnes > len(tried)*9/10 {
			t.Errorf("systemd ignores %d of %d values", ignoredOnes, len(tried))
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
