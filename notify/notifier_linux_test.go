package notify_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestNilNotifierDoesNothing(t *testing.T) {
	leaktest.Check(t)
	n, err := notify.Options{Environ: []string{}}.Open()
	if n != nil || err != nil {
		t.Fatalf("Open without a manager: %v, %v, want nil, nil", n, err)
	}
	ctx := context.Background()
	for what, err := range map[string]error{
		"Send":          n.Send(ctx, notify.Ready()),
		"SendFiles":     n.SendFiles(ctx, nil, notify.Ready()),
		"Ready":         n.Ready(ctx),
		"Reloading":     n.Reloading(ctx),
		"Stopping":      n.Stopping(ctx),
		"Status":        n.Status("text"),
		"Statusf":       n.Statusf("%d", 1),
		"ExtendTimeout": n.ExtendTimeout(ctx, time.Second),
		"Store":         n.Store(ctx, "name", os.Stdin),
		"StoreUnpolled": n.StoreUnpolled(ctx, "name", os.Stdin),
		"Remove":        n.Remove(ctx, "name"),
		"Barrier":       n.Barrier(ctx),
		"Watchdog":      n.Watchdog(ctx, nil),
		"Close":         n.Close(),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if limit, known := n.StoreLimit(); n.Managed() || n.Environ() != nil || n.WatchdogTimeout() != 0 || known || limit != 0 {
		t.Error("a nil Notifier claims to have a manager")
	}
}

func TestOpenTakesTheEnvironment(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.Options{StoreMax: 7, Watchdog: 20 * time.Second}.New(t)
	m.Setenv()
	t.Setenv("LISTEN_FDS", "1") // not ours
	n, err := notify.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if limit, known := n.StoreLimit(); limit != 7 || !known {
		t.Errorf("StoreLimit is %d, %v, want 7", limit, known)
	}
	if d := n.WatchdogTimeout(); d != 20*time.Second || !n.Managed() {
		t.Errorf("watchdog of %v, managed %v", d, n.Managed())
	}
	got, want := n.Environ(), m.Environ(os.Getpid())
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Environ gives %q, want %q", got, want)
	}
	for _, key := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"} {
		if v, ok := os.LookupEnv(key); ok {
			t.Errorf("%s=%s is left for the children", key, v)
		}
	}
	if os.Getenv("LISTEN_FDS") != "1" {
		t.Error("LISTEN_FDS was taken as well")
	}
	if again, err := notify.Open(); again != nil || err != nil {
		t.Errorf("the second Open: %v, %v, want nil, nil", again, err)
	}
}

func TestOpenLeavesGivenEnvironment(t *testing.T) {
	m := notifytest.New(t)
	m.Setenv()
	n, err := notify.Options{Environ: os.Environ()}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if os.Getenv("NOTIFY_SOCKET") == "" {
		t.Error("NOTIFY_SOCKET was unset although another environment was read")
	}
}

func TestOpenRefusesSocket(t *testing.T) {
	leaktest.Check(t)
	dead := socketPath(t)
	if r, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dead, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	} else {
		r.Close() // net leaves the path of a datagram socket
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stream, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, tt := range []struct {
		name, socket string
		want         error
	}{
		{"dead", dead, notify.ErrGone},
		{"absent", "/nonexistent/socket", notify.ErrGone},
		{"abstract, absent", "@holdfast-nobody", notify.ErrGone},
		{"plain file", file, notify.ErrGone},
		{"stream socket", stream.Addr().String(), notify.ErrInvalid},
		{"relative", "run/notify", notify.ErrInvalid},
		{"too long", "/" + strings.Repeat("x", 200), notify.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + tt.socket}}.Open()
			if n != nil || !errors.Is(err, tt.want) {
				t.Fatalf("got %v, %v, want nil and %v", n, err, tt.want)
			}
			for _, s := range []string{"NOTIFY_SOCKET", tt.socket} {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not name %q", err, s)
				}
			}
			if err := n.Ready(t.Context()); err != nil {
				t.Errorf("going on unmanaged: %v", err)
			}
		})
	}
}

func TestSend(t *testing.T) {
	leaktest.Check(t)
	for _, address := range []string{socketPath(t), "@holdfast-test-send"} {
		r := listen(t, address)
		n := open(t, address)
		if err := n.Send(limited(t), notify.Ready(), notify.Status(`up\`)); err != nil {
			t.Fatal(err)
		}
		got, err := r.Receive(limited(t))
		if err != nil {
			t.Fatal(err)
		}
		if want := (notify.Message{notify.Ready(), notify.Status(`up\`)}); !slices.Equal(got.Message, want) {
			t.Errorf("got %q, want %q", got.Message, want)
		}
		if got.PID != os.Getpid() || int(got.UID) != os.Getuid() || int(got.GID) != os.Getgid() || len(got.Files) != 0 {
			t.Errorf("from %d, %d, %d with %d files, want this process and none", got.PID, got.UID, got.GID, len(got.Files))
		}
	}
}

func TestReloadingCarriesTheTime(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	before := monotonicUsec(t)
	if err := n.Reloading(limited(t)); err != nil {
		t.Fatal(err)
	}
	value, ok := m.WaitFor(limited(t), "RELOADING=1").Get("MONOTONIC_USEC")
	got, err := notify.ParseUsec(value)
	if !ok || err != nil || got < before || got > monotonicUsec(t) {
		t.Errorf("MONOTONIC_USEC=%s, %v, want the present after %v", value, err, before)
	}
	m.Reset()
	own := notify.Field{Key: "MONOTONIC_USEC", Value: "5"}
	if err := n.Send(limited(t), notify.Reloading(), own); err != nil {
		t.Fatal(err)
	}
	if msg := m.WaitFor(limited(t), "RELOADING=1"); !slices.Equal(msg, notify.Message{notify.Reloading(), own}) {
		t.Errorf("the caller's own time became %q", msg)
	}
}

func TestSendIsWholeWhenConcurrent(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	const senders, each = 16, 100
	var done sync.WaitGroup
	for s := range senders {
		done.Go(func() {
			for range each {
				text := strings.Repeat(string(rune('a'+s)), 100+s)
				if err := n.Send(limited(t), notify.Field{Key: "X_A", Value: text}, notify.Field{Key: "X_B", Value: text}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	if err := n.Barrier(limited(t)); err != nil {
		t.Fatal(err)
	}
	messages := m.Messages()
	if len(messages) != senders*each {
		t.Errorf("%d messages, want %d", len(messages), senders*each)
	}
	for _, msg := range messages {
		if len(msg) != 2 || msg[0].Value != msg[1].Value {
			t.Fatalf("torn message %q", msg)
		}
	}
}

func TestSendReconnects(t *testing.T) {
	leaktest.Check(t)
	path := socketPath(t)
	first := listen(t, path)
	n := open(t, path)
	if err := n.Ready(limited(t)); err != nil {
		t.Fatal(err)
	}
	first.Close()
	for range 2 { // the first time connected, the second not
		if err := n.Ready(limited(t)); !errors.Is(err, notify.ErrGone) {
			t.Fatalf("without a manager: %v, want ErrGone", err)
		}
	}
	second := listen(t, path)
	if err := n.Ready(limited(t)); err != nil {
		t.Fatalf("the manager is back: %v", err)
	}
	if got, err := second.Receive(limited(t)); err != nil || !got.Message.Has("READY", "1") {
		t.Errorf("the new manager got %v, %v", got, err)
	}
}

func TestSendAfterClose(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(limited(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Ready: %v, want net.ErrClosed", err)
	}
	if err := n.Barrier(limited(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Barrier: %v, want net.ErrClosed", err)
	}
}

func TestSendRefusesBadFields(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	ctx := limited(t)
	for what, err := range map[string]error{
		"a line break": n.Send(ctx, notify.Status("a\nREADY=1")),
		"no field":     n.Send(ctx),
		"no key":       n.Send(ctx, notify.Field{Value: "1"}),
	} {
		if !errors.Is(err, notify.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	if err := n.Send(ctx, notify.Field{Key: "X", Value: strings.Repeat("x", notify.MaxMessage)}); !errors.Is(err, notify.ErrTooLarge) {
		t.Errorf("a long one: %v, want ErrTooLarge", err)
	}
	full := notify.Status(strings.Repeat("x", notify.MaxMessage-len("RELOADING=1\nSTATUS=")))
	if err := n.Send(ctx, notify.Reloading(), full); !errors.Is(err, notify.ErrTooLarge) {
		t.Errorf("no room for the time: %v, want ErrTooLarge", err)
	}
	if err := n.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	if got := m.Messages(); len(got) != 0 || len(m.Refused()) != 0 {
		t.Errorf("sent %q", got)
	}
}
