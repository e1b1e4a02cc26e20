package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestUnit: what is printed is a pair that systemd reads, with the program and its
// sockets in it.
func TestUnit(t *testing.T) {
	out, code := verb(t, "unit", "app", "--listen", "http=:80", "--listen", "http=/run/app.sock", "--drain-timeout", "5m", "--", "/usr/bin/app", "-v", "100% $HOME")
	if code != exitDone {
		t.Fatalf("it exits with %d: %s", code, out)
	}
	socket, service, found := strings.Cut(out, "\n\n# /etc/systemd/system/app.service\n")
	if !found || !strings.HasPrefix(socket, "# /etc/systemd/system/app.socket\n") {
		t.Fatalf("it does not say which file is which:\n%s", out)
	}
	for text, wants := range map[string][]string{
		socket: {"ListenStream=80", "ListenStream=/run/app.sock", "FileDescriptorName=http"},
		service: {
			`ExecStart=/usr/local/bin/handoffd run --drain-timeout 300s -- /usr/bin/app -v "100%% $$HOME"`,
			"ExecReload=/usr/local/bin/handoffd reload", "TimeoutStopSec=450", "TimeoutStartSec=420", "FileDescriptorStoreMax=65",
		},
	} {
		u, err := units.Parse("app", text)
		if err != nil || len(u.Ignored) > 0 {
			t.Errorf("%v, ignored %v", err, u.Ignored)
		}
		for _, want := range wants {
			if !strings.Contains(text, "\n"+want+"\n") {
				t.Errorf("no line %q in\n%s", want, text)
			}
		}
	}
}

// TestUnitWrites: all files are written whole, or none, and none is replaced that
// was not meant to be.
func TestUnitWrites(t *testing.T) {
	dir := t.TempDir()
	args := []string{"unit", "app", "--listen", "http=:80", "--listen", "admin=:81", "--write", dir, "--", "/usr/bin/app"}
	files := []string{filepath.Join(dir, "app-http.socket"), filepath.Join(dir, "app-admin.socket"), filepath.Join(dir, "app.service")}
	if out, code := verb(t, args...); code != exitDone || out != strings.Join(files, "\n")+"\n" {
		t.Fatalf("it exits with %d: %s", code, out)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o644 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	const mine = "# mine\n"
	if err := os.WriteFile(files[2], []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := verb(t, args...)
	if want := files[1] + " is there already; --force replaces it"; code != exitUndone || !strings.Contains(out, want) {
		t.Errorf("it exits with %d, want %q: %s", code, want, out)
	}
	if _, err := os.Stat(files[0]); err == nil {
		t.Error("a file is left of a pair that was not written")
	}
	if text, err := os.ReadFile(files[2]); err != nil || string(text) != mine {
		t.Errorf("the file that was there is %q, %v", text, err)
	}
	if out, code := verb(t, append([]string{"unit", "--force"}, args[1:]...)...); code != exitDone {
		t.Fatalf("it exits with %d: %s", code, out)
	}
	if text, err := os.ReadFile(files[2]); err != nil || string(text) == mine {
		t.Errorf("the file that was there is still %q, %v", text, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files) {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	dropIn := filepath.Join(dir, "web.service.d", "handoffd.conf")
	if out, code := verb(t, "unit", "web", "--kind", "drop-in", "--write", dir, "--", "/usr/bin/web"); code != exitDone || out != dropIn+"\n" {
		t.Errorf("it exits with %d: %s", code, out)
	}
}

// TestUnitFor: the row of the table gives the flags and the command, but for those that
// somebody gave.
func TestUnitFor(t *testing.T) {
	for _, c := range []struct {
		args  string
		lines []string
	}{
		{"unit app --for gunicorn --listen http=:80 -- /usr/bin/gunicorn app:app", []string{"ExecStart=/usr/local/bin/handoffd run -- /usr/bin/gunicorn app:app"}},
		{"unit app --for gunicorn --ready alive:3s --listen http=:80 -- /g", []string{"ExecStart=/usr/local/bin/handoffd run --ready alive:3s -- /g"}},
		{"unit web --for nginx --kind drop-in --listen http=127.0.0.1:80 --listen http=[::1]:80", []string{
			"# /etc/systemd/system/web.socket", "ListenStream=[::1]:80", "# /etc/systemd/system/web.service.d/handoffd.conf",
			`ExecStart=/usr/local/bin/handoffd run --ready accept --stop-signal QUIT -- /usr/bin/env "NGINX=3;4;" /usr/sbin/nginx -g "daemon off; master_process on;"`,
		}},
	} {
		out, code := verb(t, strings.Fields(c.args)...)
		if code != exitDone {
			t.Errorf("%s exits with %d: %s", c.args, code, out)
		}
		for _, line := range c.lines {
			if !strings.Contains("\n"+out, "\n"+line+"\n") {
				t.Errorf("%s: no line %q in\n%s", c.args, line, out)
			}
		}
	}
}

// TestUnitAround: a drop-in is made for the unit that is installed here.
func TestUnitAround(t *testing.T) {
	m := systemdtest.Boot(t, systemdtest.Options{})
	m.InstallFile("/usr/local/bin/handoffd", systemdtest.Build(t, "."), 0o755)
	m.InstallUnit("app.service", "[Service]\nType=forking\nPIDFile=/run/app.pid\nExecStart=/bin/true\nRestart=always\n")
	text := m.Output("/usr/local/bin/handoffd", "unit", "app", "--kind", "drop-in", "--", "/usr/bin/app")
	for _, want := range []string{"Type=forking:", "PIDFile=/run/app.pid."} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"Restart=on-failure", "ExecStop", "without sight"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("it says %q:\n%s", unwanted, text)
		}
	}
}

func TestUnitUsage(t *testing.T) {
	const pair = "unit app --listen http=:80 "
	for _, c := range []struct{ args, want string }{
		{"unit", "no name"},
		{"unit app", "no program"},
		{"unit app -- /usr/bin/app", "no socket"},
		{"unit app.service/x --listen http=:80 -- /usr/bin/app", `the name "app.service/x"`},
		{"unit app --listen 80 -- /usr/bin/app", `--listen "80": want NAME=ADDRESS`},
		{"unit app --listen a:b=80 -- /usr/bin/app", "no colon"},
		{"unit app --listen http=localhost:80 -- /usr/bin/app", `socket "http": the address "localhost:80"`},
		{"unit app --listen http=0 -- /usr/bin/app", "a port from 1 to 65535"},
		{"unit app --listen http=unix:run/x -- /usr/bin/app", "want an absolute path"},
		{pair + "-- bin/app", `the program "bin/app"`},
		{pair + "--kind nonsense -- /usr/bin/app", `the kind "nonsense": want one of [handoffd`},
		{pair + "--kind handoffd-signal -- /usr/bin/app", "takes systemd 253 or later"},
		{pair + "--kind socket --ready alive:1s -- /usr/bin/app", "only handoffd waits for it"},
		{pair + "--kind socket --pause-workers 1s -- /usr/bin/app", "only handoffd does that"},
		{pair + "--pause-workers 60s -- /usr/bin/app", "want less than the drain timeout, 1m0s"},
		{pair + "--kind socket --store 3 -- /usr/bin/app", "a store is for"},
		{pair + "--ready maybe -- /usr/bin/app", `"maybe": want notify, accept, exec or alive:DURATION`},
		{pair + "--ready alive:soon -- /usr/bin/app", `"alive:soon"`},
		{pair + "--ready exec --watchdog 1s -- /usr/bin/app", "a watchdog is for a program that sends WATCHDOG=1"},
		{pair + "--drain-timeout 0s -- /usr/bin/app", "--drain-timeout 0s: want a duration above 0"},
		{pair + "--drain-timeout 1us -- /usr/bin/app", "in milliseconds"},
		{pair + "--store 0 -- /usr/bin/app", "--store 0: want a number above 0"},
		{pair + "--store 5000 -- /usr/bin/app", "want 1 to 4096"},
		{pair + "--systemd 246 -- /usr/bin/app", "systemd 246: want 247 or later"},
		{pair + "--handoffd handoffd -- /usr/bin/app", `handoffd "handoffd": want an absolute path`},
		{pair + "--force -- /usr/bin/app", "--force is for --write"},
		{pair + "--write /absent -- /usr/bin/app", "/absent: want a folder that is there"},
		{"unit app --kind accept --listen dns=udp::53 -- /usr/bin/app", "takes connections"},
		{"unit app --kind container --listen http=:80", "no image"},
		{pair + "--for apche -- /usr/bin/app", "want one of nginx"},
		{pair + "--for gunicorn", "as in -- /usr/bin/gunicorn"},
		{pair + "--for redis", "Redis cannot: it binds"},
		{pair + "--for nginx --kind store", "does without handoffd"},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, code := verb(t, strings.Fields(c.args)...)
			if code != exitUsage || !strings.Contains(out, c.want) {
				t.Errorf("it exits with %d, want %d and %q: %s", code, exitUsage, c.want, out)
			}
		})
	}
}

// TestUnitIsSound: handoffd check finds nothing in what handoffd unit writes.
func TestUnitIsSound(t *testing.T) {
	for _, k := range units.Kinds {
		if k == units.KindDropIn || k == units.KindContainer {
			continue // the service is not in the folder
		}
		for _, user := range []string{"--user=false", "--user"} {
			for _, version := range []string{"247", "252", "257", "262"} {
				if k == units.KindHandoffdSignal && version < "253" {
					continue
				}
				dir := t.TempDir()
				listens := []string{"--listen", "http=:8080"}
				if k != units.KindAccept {
					listens = append(listens, "--listen", "admin=/run/admin.sock", "--listen", "log=udp:127.0.0.1:5140")
				}
				args := append([]string{"unit", "app", "--kind", string(k), user, "--systemd", version, "--write", dir}, listens...)
				if out, code := verb(t, append(args, "--", "/usr/bin/app")...); code != exitDone {
					t.Fatalf("%v exits with %d: %s", args, code, out)
				}
				service := "app.service"
				if k == units.KindAccept {
					service = "app@.service"
				}
				out, code := verb(t, "check", user, "--systemd", version, filepath.Join(dir, service))
				if code != exitDone || !strings.Contains(out, "nothing found") {
					t.Errorf("%v: check exits with %d:\n%s", args, code, out)
				}
			}
		}
	}
}

// TestUnitKinds: the help tells of each kind, and each is printed for every systemd.
func TestUnitKinds(t *testing.T) {
	help, _ := verb(t, "unit", "--help")
	for _, k := range units.Kinds {
		if k.About() == "" || !strings.Contains(help, fmt.Sprintf("%-16s %s", k, k.About())) {
			t.Errorf("the help does not tell of the kind %s: %s", k, help)
		}
		for _, user := range []string{"--user=false", "--user"} {
			args := []string{"unit", "app", "--systemd", "253", "--kind", string(k), user}
			if k != units.KindDropIn {
				args = append(args, "--listen", "http=:8080")
			}
			if out, code := verb(t, append(args, "--", "/usr/bin/app")...); code != exitDone {
				t.Errorf("%v exits with %d: %s", args, code, out)
			}
		}
	}
}
