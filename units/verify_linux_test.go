package units

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// analyze runs systemd-analyze inside m, and returns all it says.
func analyze(t *testing.T, m *systemdtest.Machine, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	cmd := m.Command(ctx, "systemd-analyze", append([]string{"--no-pager"}, args...)...)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR=/run/user/0", "SYSTEMD_LOG_COLOR=0")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("systemd-analyze %v: %v", args, err)
	}
	// v247 says this of the cgroup that Command makes. What it exits with says less
	// than what it prints.
	return strings.ReplaceAll(string(out), "Couldn't move remaining userspace processes, ignoring: Input/output error\n", "")
}

// A verified is a set of units that belong together.
type verified struct {
	name  string
	texts map[string]string // by file
	user  bool
}

// variants are the embedded pairs that this systemd knows, and rendered ones of
// every kind, for the oldest systemd and for this one.
func variants(t *testing.T, version int) []verified {
	t.Helper()
	var all []verified
	for name, d := range described {
		if d.Systemd > version || d.Kind == KindContainer || d.Kind == KindDropIn {
			continue // the others are Podman's, or belong to packages
		}
		d.Name = name
		v := verified{name: name, texts: make(map[string]string), user: d.User}
		for file := range rendered(t, d) {
			v.texts[file] = pairs(t)[file]
		}
		all = append(all, v)
	}
	several := []Socket{{"http", "tcp", ":80"}, {"http", "unix", "/run/a b%i"}, {"of admins", "unix", "@admin"}, {"dns", "udp", "[::1]:53"}, {"log", "unixgram", "%t/log"}}
	for _, kind := range Kinds {
		if kind == KindContainer || kind == KindDropIn || kind == KindHandoffdSignal && version < 253 {
			continue
		}
		for _, user := range []bool{false, true} {
			for _, aim := range []int{oldest, version} {
				d := Description{
					Name: fmt.Sprintf("rendered-%s-%d-%t", kind, aim, user), Kind: kind, User: user, Systemd: aim,
					Sockets: several, Command: []string{"/usr/local/bin/holdfast-http", "100%", "$x", "a b", ";", `"`, ""},
				}
				if kind == KindAccept {
					d.Sockets = several[:2]
				}
				if kind == KindHandoffdSignal {
					d.Systemd = version
				}
				all = append(all, verified{d.Name, rendered(t, d), user})
			}
		}
	}
	return all
}

// rendered returns the texts of a pair, by file.
func rendered(t testing.TB, d Description) map[string]string {
	t.Helper()
	all, err := Render(d)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, u := range all {
		text, err := u.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		texts[u.File] = string(text)
	}
	return texts
}

// mostExposed is the highest level of exposure that a pair may have, on systemd's
// scale from 0 to 10, by the manager that it is for. A user's service systemd takes for
// root's, with every capability, unless it has a user namespace: PrivateUsers=yes and
// the settings of the system's services that start with it then give 2.5 on 247, 2.0 on
// 252 and 257 and 1.6 on 262. But not every host lets users have one, and there the
// service would not start.
var mostExposed = map[string]float64{"--system": 2.0, "--user": 6.6}

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// TestVerify: systemd says nothing about any pair, and thinks well of its sandbox.
func TestVerify(t *testing.T) {
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		for _, program := range []string{"handoffd", "holdfast-hello", "holdfast-http", "holdfast-statsd", "holdfast-two", "holdfast-chat", "holdfast-echo", "holdfast-grpc"} {
			m.WriteFile("/usr/local/bin/"+program, []byte("#!/bin/sh\n"), 0o755)
		}
		m.Systemctl("start", "user@0.service") // for its folder of runtime files
		all := variants(t, m.Version())
		files := make(map[string][]string) // by the option for the manager
		for _, v := range all {
			option := "--system"
			if v.user {
				option = "--user"
			}
			for file, text := range v.texts {
				if v.user {
					m.WriteFile("/etc/systemd/user/"+file, []byte(text), 0o644)
				} else {
					m.InstallUnit(file, text)
				}
				files[option] = append(files[option], strings.Replace(file, "@.", "@1.", 1)) // of a template
			}
		}
		m.DaemonReload()
		manager{t, m, true}.ctl("daemon-reload")
		for option, files := range files {
			if len(files) < 28 {
				t.Fatalf("only %q are verified", files)
			}
			exposed(t, m, option, files)
		}
		for option, files := range files { // last: after that of v247 the user's manager cannot be reached
			if out := analyze(t, m, append([]string{option, "verify"}, files...)...); out != "" {
				t.Errorf("systemd-analyze says:\n%s", out)
			}
		}
	})
}

// exposed says what systemd thinks of the sandboxes of the services among files.
func exposed(t *testing.T, m *systemdtest.Machine, option string, files []string) {
	t.Helper()
	worst, services := 0.0, 0
	for _, file := range files {
		if path.Ext(file) != ".service" {
			continue
		}
		services++
		out := analyze(t, m, option, "security", file)
		match := exposure.FindStringSubmatch(out)
		if match == nil {
			t.Errorf("%s has no level of exposure: %s", file, out)
			continue
		}
		level, err := strconv.ParseFloat(match[1], 64)
		if err != nil || level > mostExposed[option] {
			t.Errorf("the exposure of %s is %s, want at most %v:\n%s", file, match[1], mostExposed[option], out)
		}
		worst = max(worst, level)
	}
	t.Logf("systemd %d: the exposure of %d services (%s) is at most %v", m.Version(), services, option, worst)
}

// TestParsesAsSystemd: systemd ignores the lines that Parse ignores, and gives up on
// a file where Parse does.
func TestParsesAsSystemd(t *testing.T) {
	const head = "[Unit]\nDescription=x\n"
	files := map[string]string{
		"junk":      "# \\\n" + head + "Junk\nDescription \n=1\n[Service]\nExecStart=/bin/true\n",
		"outside":   "A=1\n" + head + "[Service]\nExecStart=/bin/true\n",
		"mark":      "\ufeff# c\n" + head + "[Service]\nExecStart=/bin/true\n",
		"header":    head + "[Service]\nJunk\nExecStart=/bin/true\n[Unit\nMore\n",
		"quote":     head + "[Ser\"vice]\nJunk\n",
		"text":      head + "[Service]\nExecStart=/bin/true\nEnvironment=\xff\nJunk\n",
		"ends":      "[Unit]\r\nDescription=x\n\rJunk1\x00Junk2\n\nJunk3\r\r[Service]\nExecStart=/bin/true\n",
		"continued": head + "Description=a\\\n# c\n\\\nb\\\n\nJunk\n[Service]\nExecStart=/bin/true\\\n ; c\n",
	}
	ignored := regexp.MustCompile(`(?m)^/run/(\w+)\.service:(\d+): (?:Missing|Assignment|String|Bad|Invalid|Section)`)
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		for name, text := range files {
			if name == "quote" && m.Version() < 252 {
				continue // there it is but an unknown section
			}
			u, err := Parse(name, text)
			var want []string
			for _, e := range u.Ignored {
				want = append(want, strconv.Itoa(e.Line))
			}
			if e, ok := err.(*SyntaxError); ok {
				want = append(want, strconv.Itoa(e.Line))
			}
			m.WriteFile("/run/"+name+".service", []byte(text), 0o644)
			out := analyze(t, m, "verify", "/run/"+name+".service")
			var got []string
			for _, match := range ignored.FindAllStringSubmatch(out, -1) {
				got = append(got, match[2])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: systemd complains of the lines %q, Parse of %q:\n%s", name, got, want, out)
			}
			if failed := strings.Contains(out, "failed to load properly") || strings.Contains(out, "Failed to load"); failed != (err != nil) {
				t.Errorf("%s: Parse fails with %v, and systemd says:\n%s", name, err, out)
			}
		}
	})
}
