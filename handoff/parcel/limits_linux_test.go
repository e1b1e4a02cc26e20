package parcel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func init() {
	helpers["in-flight"] = helpInFlight
	helpers["receive-limit"] = helpReceiveLimit
	helpers["many"] = helpMany
	helpers["send-at-limit"] = helpSendAtLimit
	helpers["queue"] = helpQueue
}

const nobody = 65534

// runHelper runs a helper with files from descriptor 3 on and a limit of
// descriptors, as another user unless uid is 0. It returns what it prints.
func runHelper(t *testing.T, name string, limit uint64, uid uint32, files ...*os.File) string {
	t.Helper()
	cmd := helperCommand(t, name, limit, uid, files...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func helperCommand(t *testing.T, name string, limit uint64, uid uint32, files ...*os.File) *exec.Cmd {
	t.Helper()
	if uid != 0 && os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	// The test binary is in a folder of root's: a descriptor reaches it.
	self := must(os.Open("/proc/self/exe"))
	t.Cleanup(func() { self.Close() })
	cmd := exec.CommandContext(within(t), fmt.Sprint("/proc/self/fd/", 3+len(files)), "-test.run=none")
	cmd.ExtraFiles = append(files, self)
	cmd.Dir = "/"
	cmd.Env = []string{helpertest.Variable + "=" + name, fmt.Sprint("LIMIT=", limit)}
	cmd.Stderr = &testWriter{t}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

// lower sets the helper's limit to what its test asked for.
func lower() (limit int64, err error) {
	if _, err := fmt.Sscan(os.Getenv("LIMIT"), &limit); err != nil {
		return 0, err
	}
	r := unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("set RLIMIT_NOFILE to %d: %w", limit, err)
	}
	return limit, nil
}

// putMany puts n copies of standard input into w, one an entry.
func putMany(ctx context.Context, w *Writer, n int, done func(error)) error {
	for range n {
		if err := w.Put(ctx, Entry{Kind: "conn", Descriptors: []syscall.Conn{os.Stdin}, Done: done}); err != nil {
			return err
		}
	}
	return nil
}

// TestInFlight puts more into parcels than the user may have in flight.
func TestInFlight(t *testing.T) {
	leaktest.Check(t)
	out := runHelper(t, "in-flight", 1024, nobody)
	if out != "the limit is 1024" {
		t.Errorf("the helper printed %q", out)
	}
}

func helpInFlight([]string) error {
	if _, err := lower(); err != nil {
		return err
	}
	ctx := context.Background()
	w, f, err := New(WriterOptions{})
	if err != nil {
		return err
	}
	var sent, failed int
	count := func(err error) {
		if err == nil {
			sent++
		} else {
			failed++
		}
	}
	err = putMany(ctx, w, 3000, count)
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != LimitInFlight || !errors.Is(err, syscall.ETOOMANYREFS) {
		return fmt.Errorf("not the limit: %v", err)
	}
	if limit.Count != int64(sent) || sent < 1000 || failed != 0 {
		return fmt.Errorf("%d were sent and %d failed; the error is %v", sent, failed, err)
	}
	if err := w.Close(ctx); !errors.Is(err, syscall.ETOOMANYREFS) || failed != MaxDescriptors {
		return fmt.Errorf("%d were given back; Close: %v", failed, err)
	}
	// What was sent is a whole parcel: a live reader of the next shows that there
	// is room again once it was received.
	r, err := NewReader(f, ReaderOptions{})
	if err != nil {
		return err
	}
	live, f2, err := New(WriterOptions{Live: true})
	if err != nil {
		return err
	}
	waiting := make(chan error, 1)
	go func() { waiting <- errors.Join(putMany(ctx, live, 3000, nil), live.Close(ctx)) }()
	if n, err := drain(r); n != sent || err != io.EOF {
		return fmt.Errorf("received %d of %d: %v", n, sent, err)
	}
	r2, err := NewReader(f2, ReaderOptions{})
	if err != nil {
		return err
	}
	if n, err := drain(r2); n != 3000 || err != io.EOF {
		return fmt.Errorf("received %d of 3000: %v", n, err)
	}
	fmt.Printf("the limit is %d\n", limit.Value)
	return <-waiting
}

// drain receives everything, closes it, and returns how many entries it was.
func drain(r *Reader) (n int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		items, err := r.Receive(ctx)
		if err != nil {
			return n, err
		}
		n += len(items)
		for _, it := range items {
			it.Close()
		}
	}
}

// TestReceiveLimit receives where there is no room for all descriptors: nothing
// is lost, and the next reader gets all.
func TestReceiveLimit(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	for _, uid := range []uint32{0, nobody} {
		w, f := newParcel(t, WriterOptions{})
		const n = 300
		if err := errors.Join(putMany(ctx, w, n, nil), w.Close(ctx)); err != nil {
			t.Fatal(err)
		}
		if out := runHelper(t, "receive-limit", 200, uid, f); out != "the limit is 200" {
			t.Errorf("the helper printed %q", out)
		}
		items, err := receiveAll(t, newReader(t, f))
		if len(items) != n || err != io.EOF {
			t.Errorf("%d entries are left of %d, %v", len(items), n, err)
		}
	}
}

func helpReceiveLimit([]string) error {
	limit, err := lower()
	if err != nil {
		return err
	}
	r, err := NewReader(os.NewFile(3, "parcel"), ReaderOptions{})
	if err != nil {
		return err
	}
	before := openFiles()
	found, err := r.Peek(nil)
	if !isLimit(err, LimitFiles) || found.Descriptors != 300 || !found.Complete {
		return fmt.Errorf("Peek: %+v, %v", found, err)
	}
	for range 3 {
		_, err = r.Receive(context.Background())
		if !isLimit(err, LimitFiles) || !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("Receive: %v", err)
		}
	}
	if after := openFiles(); after != before {
		return fmt.Errorf("%d descriptors are open, %d before", after, before)
	}
	fmt.Printf("the limit is %d\n", limit)
	return nil
}

// TestMany carries as many descriptors as the limit allows, up to 20,000.
func TestMany(t *testing.T) {
	leaktest.Check(t)
	n := min(fileRlimit()-500, 20000)
	if n < 2000 {
		t.Skipf("RLIMIT_NOFILE is %d", fileRlimit())
	}
	if out := runHelper(t, "many", uint64(fileRlimit()), 0); out != fmt.Sprint(n, " crossed") {
		t.Errorf("the helper printed %q", out)
	}
}

func helpMany([]string) error {
	limit, err := lower()
	if err != nil {
		return err
	}
	n := min(limit-500, 20000)
	ctx := context.Background()
	w, f, err := New(WriterOptions{})
	if err != nil {
		return err
	}
	if err := errors.Join(putMany(ctx, w, int(n), nil), w.Close(ctx)); err != nil {
		return err
	}
	r, err := NewReader(f, ReaderOptions{})
	if err != nil {
		return err
	}
	if found, err := r.Peek(nil); err != nil || found.Descriptors != n {
		return fmt.Errorf("Peek: %+v, %v", found, err)
	}
	var all []*Item
	for {
		items, err := r.Receive(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		all = append(all, items...)
	}
	if open := openFiles(); open < n {
		return fmt.Errorf("%d descriptors are open", open)
	}
	for _, it := range all {
		it.Close()
	}
	fmt.Printf("%d crossed\n", len(all))
	return nil
}

// TestSendAtLimit hands over from a process that cannot open anything more.
func TestSendAtLimit(t *testing.T) {
	leaktest.Check(t)
	if out := runHelper(t, "send-at-limit", 64, 0); out != "501 were sent" {
		t.Errorf("the helper printed %q", out)
	}
}

func helpSendAtLimit([]string) error {
	if _, err := lower(); err != nil {
		return err
	}
	ctx := context.Background()
	w, f, err := New(WriterOptions{})
	if err != nil {
		return err
	}
	defer f.Close()
	var hoard []*os.File
	for {
		null, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		hoard = append(hoard, null)
	}
	if _, _, err := New(WriterOptions{}); !isLimit(err, LimitFiles) {
		return fmt.Errorf("New: %v", err)
	}
	sent := 0
	count := func(err error) {
		if err == nil {
			sent++
		}
	}
	if err := errors.Join(putMany(ctx, w, 500, count), w.Flush(ctx)); err != nil || sent != 500 {
		return fmt.Errorf("%d were sent: %v", sent, err)
	}
	// A secret has to be in a memfd.
	err = errors.Join(w.Put(ctx, Entry{Secret: true, Done: count}), w.Flush(ctx))
	if !isLimit(err, LimitFiles) || sent != 500 {
		return fmt.Errorf("%d were sent: %v", sent, err)
	}
	hoard[0].Close()
	err = w.Close(ctx)
	fmt.Printf("%d were sent\n", sent)
	return err
}

// TestQueueFull fills a queue of the size that any user may have.
func TestQueueFull(t *testing.T) {
	leaktest.Check(t)
	for _, uid := range []uint32{0, nobody} {
		if out := runHelper(t, "queue", 1024, uid); out != "ok" {
			t.Errorf("the helper printed %q", out)
		}
	}
}

func helpQueue([]string) error {
	ctx := context.Background()
	w, f, err := New(WriterOptions{SendBuffer: 64 << 10})
	if err != nil {
		return err
	}
	sent, unsent := 0, 0
	var limit *LimitError
	for err == nil {
		err = w.Put(ctx, Entry{Name: "small", Done: func(err error) {
			if err == nil {
				sent++
			} else {
				unsent++
			}
		}})
		err = errors.Join(err, w.Flush(ctx))
	}
	if !errors.As(err, &limit) || limit.Limit != LimitBuffer || limit.Value <= 0 || limit.Count <= 0 || sent < 50 {
		return fmt.Errorf("after %d: %v", sent, err)
	}
	if err := w.Close(ctx); !errors.As(err, &limit) || unsent != 1 {
		return fmt.Errorf("Close: %v; %d were given back", err, unsent)
	}
	r, err := NewReader(f, ReaderOptions{})
	if err != nil {
		return err
	}
	if n, err := drain(r); n != sent || err != io.EOF { // the END record had room
		return fmt.Errorf("received %d of %d: %v", n, sent, err)
	}
	fmt.Println("ok")
	return nil
}

// TestSlowReader fills the queue of a live parcel before the reader begins.
func TestSlowReader(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	w, f := newParcel(t, WriterOptions{Live: true, SendBuffer: 32 << 10, Timeout: 20 * time.Millisecond})
	put := func() error { return errors.Join(w.Put(ctx, Entry{Name: "x"}), w.Flush(ctx)) }
	n := 0
	for put() == nil {
		n++
	}
	if err := w.Put(ctx, Entry{}); !isLimit(err, LimitBuffer) {
		t.Errorf("Put into a parcel that is stuck: %v", err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.Flush(short); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush with a context that ended: %v", err)
	}
	r := newReader(t, f)
	go func() {
		if err := w.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if got, err := drain(r); got != n+1 || err != io.EOF {
		t.Errorf("received %d of %d: %v", got, n+1, err)
	}
}
