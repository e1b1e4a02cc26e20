package supervisor

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestCommand: what a generation finds in its environment, of which what is said last
// holds.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	if err := os.WriteFile(file, []byte("A=file\nB=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := filepath.Join(dir, "vars")
	if err := os.Mkdir(vars, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vars, "B"), []byte("dir\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		o       Options
		program string
		want    []string
		args    []string
	}{
		{"by default", Options{}, "", []string{"A=own", "NOTIFY_SOCKET=/run/notify", "FDSTORE=7", "HANDOFF_GENERATION=3"}, []string{"sh", "-c", "exit"}},
		{"with variables from elsewhere", Options{EnvironmentFile: file, EnvDir: vars}, "",
			[]string{"A=own", "A=file", "B=file", "B=dir", "NOTIFY_SOCKET=/run/notify", "FDSTORE=7", "HANDOFF_GENERATION=3"}, []string{"sh", "-c", "exit"}},
		{"with a watchdog", Options{Watchdog: time.Second}, "",
			[]string{"A=own", "NOTIFY_SOCKET=/run/notify", "FDSTORE=7", "HANDOFF_GENERATION=3", "WATCHDOG_USEC=1000000", "WATCHDOG_PID="}, []string{"sh", "-c", "exit"}},
		{"with a watchdog that it does not know", Options{Watchdog: time.Second, Ready: Ready{mode: readyExec}}, "",
			[]string{"A=own", "NOTIFY_SOCKET=/run/notify", "FDSTORE=7", "HANDOFF_GENERATION=3"}, []string{"sh", "-c", "exit"}},
		{"another program", Options{}, "/bin/true", []string{"A=own", "NOTIFY_SOCKET=/run/notify", "FDSTORE=7", "HANDOFF_GENERATION=3"}, []string{"/bin/true", "-c", "exit"}},
	} {
		c.o.Program = []string{"sh", "-c", "exit"}
		l := &launcher{o: &c.o, environ: []string{"A=own"}}
		spec := process.Spec{Number: 3}
		if err := l.command(&spec, c.program, "/run/notify", nil, 7); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !slices.Equal(spec.Env, c.want) || !slices.Equal(spec.Args, c.args) || !filepath.IsAbs(spec.Path) {
			t.Errorf("%s: %s runs with %q, %q", c.name, spec.Path, spec.Args, spec.Env)
		}
	}
}

// TestNotificationSockets: where their folder is gone it is made anew, and where it
// cannot be made they are elsewhere.
func TestNotificationSockets(t *testing.T) {
	leaktest.Check(t)
	o := Options{RuntimeDir: t.TempDir()}
	l := &launcher{o: &o, log: slog.New(slog.DiscardHandler)}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	first := l.folder
	listen := func(gen uint64) {
		t.Helper()
		r, err := l.listen(gen)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if filepath.Dir(r.Addr()) != l.folder {
			t.Errorf("the socket is %s, and its folder %s", r.Addr(), l.folder)
		}
		if info, err := os.Stat(l.folder); err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("the folder is %v, %v", info, err)
		}
	}
	listen(1)
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	listen(2)
	if l.folder != first {
		t.Errorf("the folder is %s, was %s", l.folder, first)
	}
	// A file stands where the folder was.
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(3)
	if l.folder == first {
		t.Error("the folder is a file")
	}
	l.close()
	if _, err := os.Stat(l.folder); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}
