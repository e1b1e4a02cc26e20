package notify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// receiveHelper runs a command with a Receiver for its manager, and prints what
// it sends, a message a line, with its sender and the number of its files.
func receiveHelper(args []string) error {
	r, err := notify.Listen("/run/holdfast-receive")
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+r.Addr())
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() {
		exited <- errors.Join(c.Wait(), sendEnd(ctx, r.Addr()))
	}()
	for {
		m, err := r.Receive(ctx)
		if err != nil {
			return err
		}
		if m.Message.Has("X_END", "1") {
			return <-exited
		}
		sender := "another"
		if m.PID == os.Getpid() || m.PID == c.Process.Pid {
			sender = "command"
		}
		fmt.Printf("%s uid=%d files=%d barrier=%v %q\n", sender, m.UID, len(m.Files), m.Barrier(), m.Message)
		m.Close()
	}
}

// sendEnd queues a last message behind all that the command has sent.
func sendEnd(ctx context.Context, socket string) error {
	n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + socket}}.Open()
	if err != nil {
		return err
	}
	return errors.Join(n.Send(ctx, notify.Field{Key: "X_END", Value: "1"}), n.Close())
}

// systemd-notify waits for its barrier, so it exits only if that is answered.
func TestReceiverHearsSystemdNotify(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		receive := func(args ...string) string {
			return m.Output(append([]string{"env", helpertest.Variable + "=receive", program}, args...)...)
		}
		want := `command uid=0 files=0 barrier=false ["READY=1" "STATUS=all well"]` + "\n" +
			`command uid=0 files=1 barrier=true ["BARRIER=1"]`
		if got := receive("systemd-notify", "--ready", "--status=all well"); got != want {
			t.Errorf("--ready --status sent\n%s\nwant\n%s", got, want)
		}
		want, _, _ = strings.Cut(want, "\n")
		if got := receive("systemd-notify", "--no-block", "--ready", "--status=all well"); got != want {
			t.Errorf("--no-block sent\n%s\nwant\n%s", got, want)
		}
		if m.Version() < 254 {
			return // neither --fd nor --reloading
		}
		want = `command uid=0 files=1 barrier=false ["FDSTORE=1" "FDNAME=null"]` + "\n" +
			`command uid=0 files=1 barrier=true ["BARRIER=1"]`
		if got := receive("sh", "-c", "exec systemd-notify --fd=3 --fdname=null FDSTORE=1 3</dev/null"); got != want {
			t.Errorf("--fd sent\n%s\nwant\n%s", got, want)
		}
		got := receive("systemd-notify", "--reloading")
		if !strings.Contains(got, `"RELOADING=1"`) || !strings.Contains(got, `"MONOTONIC_USEC=`) {
			t.Errorf("--reloading sent %s", got)
		}
	})
}

// twinHelper sends what testdata/twin.c sends.
func twinHelper([]string) error {
	done := make(chan os.Signal, 1)
	signal.Notify(done, unix.SIGTERM)
	n, err := managed()
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	for range 2 {
		if err := n.Store(ctx, "null", null); err != nil {
			return err
		}
	}
	if err := n.Send(ctx, notify.Message{
		notify.Ready(), notify.Status("a twin"), notify.Errno(5), {Key: "BUSERROR", Value: "org.example.Twin"},
		{Key: "EXIT_STATUS", Value: "7"}, notify.MainPID(os.Getpid()), {Key: "NOTIFYACCESS", Value: "all"}, notify.WatchdogPing(),
		{Key: "WATCHDOG_USEC", Value: "60000000"}, {Key: "EXTEND_TIMEOUT_USEC", Value: "60000000"},
	}...); err != nil {
		return err
	}
	if err := n.Barrier(ctx); err != nil {
		return err
	}
	<-done
	return nil
}

// compileTwin returns the C program on the host, and the folder with the host's
// libraries that it needs.
func compileTwin(t *testing.T) (binary, loader string, libraries []string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "twin")
	out, err := exec.Command("gcc", "-o", binary, "testdata/twin.c", "-l:libsystemd.so.0").CombinedOutput()
	if err != nil {
		missing(t, fmt.Sprintf("gcc with libsystemd.so.0: %v: %s", err, out))
	}
	if out, err = exec.Command("ldd", binary).CombinedOutput(); err != nil {
		t.Fatalf("ldd: %v: %s", err, out)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		if strings.Contains(filepath.Base(word), "ld-linux") {
			loader = word
		} else {
			libraries = append(libraries, word)
		}
	}
	if loader == "" || len(libraries) < 2 {
		t.Fatalf("ldd says %s", out)
	}
	return binary, loader, libraries
}

// missing skips the test, or fails it where nothing may be skipped.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("HOLDFAST_E2E") == "require" {
		t.Fatalf("HOLDFAST_E2E=require: there is no %s", what)
	}
	t.Skipf("there is no %s", what)
}

func TestSameStateAsLibsystemd(t *testing.T) {
	binary, loader, libraries := compileTwin(t)
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/opt/twin/twin", binary, 0o755)
		m.InstallFile("/opt/twin/loader", loader, 0o755)
		for _, l := range libraries {
			m.InstallFile("/opt/twin/"+filepath.Base(l), l, 0o644)
		}
		settings := []string{"Type=notify", "FileDescriptorStoreMax=4", "WatchdogSec=300"}
		ours := unit("twin", nil, settings...)
		// With its own loader and libraries, since those of the machine may be
		// older than the ones it was linked against.
		theirs := strings.Replace(ours, "ExecStart="+program, "ExecStart=/opt/twin/loader --library-path /opt/twin /opt/twin/twin", 1)
		m.InstallUnit("ours.service", ours)
		m.InstallUnit("theirs.service", theirs)
		m.Systemctl("start", "ours.service", "theirs.service")
		want := map[string]string{
			"ActiveState": "active", "SubState": "running", "StatusText": "a twin", "StatusErrno": "5",
			"NFileDescriptorStore": "1", "WatchdogUSec": "1min", "NotifyAccess": "main", "Result": "success",
		}
		if m.Version() >= 254 {
			want["NotifyAccess"] = "all"
			want["StatusBusError"] = "org.example.Twin"
		}
		for property, want := range want {
			for _, service := range []string{"ours.service", "theirs.service"} {
				if got := m.Property(service, property); got != want {
					t.Errorf("%s of %s is %q, want %q", property, service, got, want)
				}
			}
		}
		if pid, err := strconv.Atoi(m.Property("ours.service", "MainPID")); err != nil || pid <= 1 {
			t.Errorf("MainPID %d, %v", pid, err)
		}
		if m.Version() >= 254 {
			a := m.Output("systemd-analyze", "fdstore", "ours.service")
			b := m.Output("systemd-analyze", "fdstore", "theirs.service")
			if a != b || strings.Count(a, "null") < 1 {
				t.Errorf("the store holds by ours\n%s\nby libsystemd\n%s", a, b)
			}
		}
	})
}
