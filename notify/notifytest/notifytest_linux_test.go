package notifytest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func start(t *testing.T, o notifytest.Options) (*notifytest.Manager, *notify.Notifier, context.Context) {
	t.Helper()
	m := o.New(t)
	n, err := notify.Options{Environ: m.Environ(os.Getpid())}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return m, n, ctx
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// names returns the store's names, each with how often it is there.
func names(m *notifytest.Manager) string {
	counts := map[string]int{}
	for name, files := range m.Stored() {
		counts[name] = len(files)
	}
	return fmt.Sprint(counts)
}

func check(t *testing.T, ctx context.Context, n *notify.Notifier, err error) {
	t.Helper()
	if err == nil {
		err = n.Barrier(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestManagerRecords(t *testing.T) {
	leaktest.Check(t)
	m, n, ctx := start(t, notifytest.Options{})
	go func() { _ = n.Send(ctx, notify.Ready(), notify.Status("up")) }()
	if got := m.WaitFor(ctx, "READY=1"); !got.Has("STATUS", "up") {
		t.Errorf("got %q", got)
	}
	check(t, ctx, n, n.Stopping(ctx))
	want := []notify.Message{{notify.Ready(), notify.Status("up")}, {notify.Stopping()}}
	if got := m.Messages(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	m.Reset()
	if got := m.Messages(); len(got) != 0 {
		t.Errorf("after Reset %q", got)
	}
}

func TestManagerNotesRefused(t *testing.T) {
	leaktest.Check(t)
	m, n, ctx := start(t, notifytest.Options{})
	c, err := net.Dial("unixgram", m.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1\x00\x00")); err != nil {
		t.Fatal(err)
	}
	check(t, ctx, n, nil)
	if got := m.Refused(); len(got) != 1 || len(m.Messages()) != 0 {
		t.Errorf("refused %v, taken %q, want one and none", got, m.Messages())
	}
}

func TestManagerStoresAsSystemd(t *testing.T) {
	leaktest.Check(t)
	m, n, ctx := start(t, notifytest.Options{StoreMax: 3})
	r, w := pipe(t)
	check(t, ctx, n, n.Store(ctx, "read", r))
	check(t, ctx, n, n.Store(ctx, "again", r)) // the same open file: ignored
	check(t, ctx, n, n.StoreUnpolled(ctx, "write", w))
	if got := names(m); got != "map[read:1 write:1]" {
		t.Fatalf("stored %s", got)
	}
	r2, w2 := pipe(t)
	check(t, ctx, n, n.Store(ctx, "read", r2)) // adds to the name
	check(t, ctx, n, n.Store(ctx, "over", w2)) // beyond the limit: closed
	if got := names(m); got != "map[read:2 write:1]" {
		t.Fatalf("stored %s", got)
	}
	w2.Close() // the only writing end of the second pipe: a hangup
	if got := names(m); got != "map[read:1 write:1]" {
		t.Errorf("after a hangup %s", got)
	}
	check(t, ctx, n, n.Remove(ctx, "read"))
	r.Close()
	if got := names(m); got != "map[write:1]" {
		t.Errorf("after Remove, with FDPOLL=0 on the broken one, %s", got)
	}
}

// A message with both removes first, so that it replaces.
func TestManagerReplaces(t *testing.T) {
	leaktest.Check(t)
	m, n, ctx := start(t, notifytest.Options{})
	first, _ := pipe(t)
	second, w := pipe(t)
	check(t, ctx, n, n.Store(ctx, "x", first))
	check(t, ctx, n, n.SendFiles(ctx, []syscall.Conn{second}, notify.Field{Key: "FDSTORE", Value: "1"}, notify.Field{Key: "FDSTOREREMOVE", Value: "1"}, notify.Field{Key: "FDNAME", Value: "x"}))
	files := m.Stored()["x"]
	if len(files) != 1 {
		t.Fatalf("%d stored, want 1", len(files))
	}
	if _, err := w.WriteString("second"); err != nil {
		t.Fatal(err)
	}
	var b [10]byte
	if k, err := files[0].Read(b[:]); err != nil || string(b[:k]) != "second" {
		t.Errorf("read %q, %v, want the second pipe", b[:k], err)
	}
}

func TestSilentManagerStaysSilent(t *testing.T) {
	leaktest.Check(t)
	m, n, _ := start(t, notifytest.Options{Silent: true})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := n.Barrier(ctx); err == nil {
		t.Error("a silent manager answered a barrier")
	}
	if got := m.Messages(); len(got) != 0 {
		t.Errorf("it read %q", got)
	}
}

// fatalTB notes that the test was failed, in place of failing it.
type fatalTB struct {
	testing.TB
	message string
}

func (f *fatalTB) Helper() {}
func (f *fatalTB) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
}

func TestWaitForFailsTheTest(t *testing.T) {
	f := &fatalTB{TB: t}
	m := notifytest.New(f)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m.WaitFor(ctx, "READY=1")
	if want := `no "READY=1" came`; !strings.Contains(f.message, want) {
		t.Errorf("said %q, want %q", f.message, want)
	}
	f.message = ""
	m.WaitFor(ctx, "READY")
	if want := "no assignment"; !strings.Contains(f.message, want) {
		t.Errorf("said %q, want %q", f.message, want)
	}
}
