package parcel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func init() { helpers["generation"] = helpGeneration }

func newSocket(t testing.TB) (*Deliverer, *Intake) {
	t.Helper()
	d, child, err := NewDeliverer()
	if err != nil {
		t.Fatal(err)
	}
	in, err := NewIntake(child)
	child.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		in.Close()
	})
	return d, in
}

func TestDeliveries(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	d, in := newSocket(t)
	r0, w0 := pipe(t)
	if err := d.Owned(ctx); err != nil {
		t.Fatal(err)
	}
	most := make([]*os.File, maxDescriptors)
	for i := range most {
		most[i] = w0
	}
	first := must(d.Deliver(ctx, "one", w0))
	second := must(d.Deliver(ctx, strings.Repeat("n", maxFDName), most...))
	if first != 1 || second != 2 || d.Last() != 2 {
		t.Errorf("IDs %d and %d, the last %d", first, second, d.Last())
	}
	if got, err := in.Next(ctx); err != nil || !got.Owned || got.Files != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	for id, n := range []int{1, maxDescriptors} {
		got, err := in.Next(ctx)
		if err != nil || got.ID != uint64(id+1) || len(got.Files) != n {
			t.Fatalf("%+v, %v", got, err)
		}
		wantEcho(t, got.Files[n-1], r0, "delivered")
		for _, f := range got.Files {
			f.Close()
		}
	}
	if err := in.Taken(ctx, second); err != nil {
		t.Fatal(err)
	}
	wantReply(t, d, Reply{Taken: second})
	for _, err := range []error{d.Release(ctx, 3), d.Resume(ctx, 4)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := in.Next(ctx); err != nil || got.Release != 3 || got.Resume != 0 || got.Owned {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := in.Next(ctx); err != nil || got.Resume != 4 || got.Release != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, err := range []error{in.Released(ctx, 3), in.Resumed(ctx, 4)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantReply(t, d, Reply{Released: 3})
	wantReply(t, d, Reply{Resumed: 4})
	in.Close()
	if _, err := d.Next(ctx); err != io.EOF {
		t.Errorf("after the generation's end: %v", err)
	}
	if _, err := d.Deliver(ctx, "late", w0); !errors.Is(err, ErrNoReader) {
		t.Errorf("deliver after the generation's end: %v", err)
	}
	if _, err := in.Next(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

func wantReply(t *testing.T, d *Deliverer, want Reply) {
	t.Helper()
	if got, err := d.Next(within(t)); got != want || err != nil {
		t.Errorf("the generation says %+v, %v; want %+v", got, err, want)
	}
}

func TestDeliverRefuses(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	d, in := newSocket(t)
	_, w0 := pipe(t)
	closed, _ := pipe(t)
	closed.Close()
	for name, files := range map[string][]*os.File{
		"none":                           {},
		"many":                           make([]*os.File, maxDescriptors+1),
		"a:b":                            {w0},
		"a\nb":                           {w0},
		strings.Repeat("n", 1+maxFDName): {w0},
		"closed":                         {closed},
	} {
		if _, err := d.Deliver(ctx, name, files...); err == nil {
			t.Errorf("%.20q with %d files was delivered", name, len(files))
		}
	}
	for _, reply := range []func(context.Context, uint64) error{in.Taken, in.Released, in.Resumed} {
		if err := reply(ctx, 0); err == nil {
			t.Error("a reply with the number 0 was sent")
		}
	}
	if err := in.Taken(ctx, 4711); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := d.Next(ctx); !errors.Is(err, ErrFormat) {
			t.Errorf("an acknowledgement of nothing: %v", err)
		}
	}
}

// TestDeliverWaits has a generation that does not read.
func TestDeliverWaits(t *testing.T) {
	leaktest.Check(t)
	d, in := newSocket(t)
	_, w0 := pipe(t)
	ctx, cancel := context.WithCancel(within(t))
	blocked := make(chan uint64)
	go func() {
		defer close(blocked)
		for {
			id, err := d.Deliver(ctx, "x", w0)
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Deliver: %v", err)
				}
				return
			}
			blocked <- id
			if id == 5000 {
				t.Error("nothing bounds the queue")
				return
			}
		}
	}()
	var sent uint64
	for full := false; !full; {
		select {
		case sent = <-blocked:
		default:
			control(t, d.e.f, func(fd int) {
				poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
				n, _ := unix.Poll(poll, 0)
				queued := must(unix.IoctlGetInt(fd, unix.SIOCOUTQ))
				full = n == 0 && queued >= must(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF))
			})
		}
	}
	cancel()
	for id := range blocked {
		sent = id
	}
	for id := uint64(1); id <= sent; id++ {
		got, err := in.Next(within(t))
		if err != nil || got.ID != id {
			t.Fatalf("delivery %d is %+v, %v", id, got, err)
		}
		got.Files[0].Close()
	}
}

// TestParseNote has what the other side may say.
func TestParseNote(t *testing.T) {
	for _, c := range []struct {
		text        string
		descriptors int
		want        note
		err         error
	}{
		{"HANDOFF=1\nID=7\nFDNAME=conns", 1, note{id: 7, name: "conns"}, nil},
		{"HANDOFF=1\nFDNAME=a=b\nID=7\n", 253, note{id: 7, name: "a=b"}, nil},
		{"HANDOFF=1\nID=7\nFDNAME=", 1, note{id: 7}, nil},
		{"HANDOFF=1\nID=1\nFDNAME=a\nID=2\nFDNAME=b\nHANDOFF=2", 1, note{id: 1, name: "a"}, nil},
		{"HANDOFF=1\nTAKEN=18446744073709551615", 0, note{Reply: Reply{Taken: 1<<64 - 1}}, nil},
		{"HANDOFF=1\nRELEASE=3", 0, note{release: 3}, nil},
		{"HANDOFF=1\nRELEASED=3", 0, note{Reply: Reply{Released: 3}}, nil},
		{"HANDOFF=1\nRESUME=3", 0, note{resume: 3}, nil},
		{"HANDOFF=1\nRESUMED=3", 0, note{Reply: Reply{Resumed: 3}}, nil},
		{"HANDOFF=1\nRELEASE=0", 0, note{}, ErrFormat},
		{"HANDOFF=1\nRESUME=", 0, note{}, ErrFormat},
		{"HANDOFF=1\nRESUMED=1 ", 0, note{}, ErrFormat},
		{"HANDOFF=1\nOWNED=1", 0, note{owned: true}, nil},
		{"HANDOFF=1\nQUIESCE=1", 0, note{quiesce: true}, nil},
		{"HANDOFF=1\nQUIESCE=0", 0, note{rejoin: true}, nil},
		{"HANDOFF=1\nQUIESCE=maybe", 0, note{}, nil},
		{"HANDOFF=1", 0, note{}, nil},
		{"HANDOFF=1\nLATER=x", 3, note{}, nil},
		{"", 0, note{}, ErrFormat},
		{"READY=1", 0, note{}, ErrFormat},
		{"HANDOFF=2\nOWNED=1", 0, note{}, ErrVersion},
		{"HANDOFF=10", 0, note{}, ErrVersion},
		{"HANDOFF", 0, note{}, ErrVersion},
		{"HANDOFF=1\nnonsense", 0, note{}, ErrFormat},
		{"HANDOFF=1\nID=0\nFDNAME=a", 1, note{}, ErrFormat},
		{"HANDOFF=1\nID=-1\nFDNAME=a", 1, note{}, ErrFormat},
		{"HANDOFF=1\nID=x\nFDNAME=a", 1, note{}, ErrFormat},
		{"HANDOFF=1\nID=1", 1, note{}, ErrFormat},
		{"HANDOFF=1\nID=1\nFDNAME=a", 0, note{}, ErrFormat},
		{"HANDOFF=1\nID=1\nFDNAME=a:b", 1, note{}, ErrFormat},
		{"HANDOFF=1\nTAKEN=", 0, note{}, ErrFormat},
		{"HANDOFF=1\nTAKEN=3\nOWNED=1", 0, note{}, ErrFormat},
	} {
		got, err := parseNote([]byte(c.text), c.descriptors)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q with %d descriptors: %+v, %v; want %+v, %v", c.text, c.descriptors, got, err, c.want, c.err)
		}
		if c.err == nil && err == nil && got != (note{}) {
			if again, err := parseNote(got.text(), c.descriptors); again != got || err != nil {
				t.Errorf("%+v is written as %q, which is %+v, %v", got, got.text(), again, err)
			}
		}
	}
}

func FuzzNote(f *testing.F) {
	for _, n := range []note{{id: 7, name: "conns"}, {Reply: Reply{Taken: 3}}, {owned: true}, {release: 3}, {Reply: Reply{Released: 3}}, {resume: 3}, {Reply: Reply{Resumed: 3}}} {
		f.Add(n.text(), 1)
	}
	f.Fuzz(func(t *testing.T, m []byte, descriptors int) {
		n, err := parseNote(m, descriptors)
		if err != nil {
			if n != (note{}) || !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion) {
				t.Fatalf("%+v, %v", n, err)
			}
			return
		}
		if n.id != 0 && descriptors <= 0 {
			t.Fatalf("%+v without descriptors", n)
		}
		if again, err := parseNote(n.text(), descriptors); again != n || err != nil {
			t.Fatalf("%+v is written as %q, which is %+v, %v", n, n.text(), again, err)
		}
	})
}

// TestOpenIntake starts a generation of another user, with the socket among what
// it inherits, and goes on as a manager that replaced itself.
func TestOpenIntake(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	first, child, err := NewDeliverer()
	if err != nil {
		t.Fatal(err)
	}
	r0, w0 := pipe(t)
	cmd := helperCommand(t, "generation", 100, nobody, r0, child)
	cmd.Env = append(cmd.Env, SocketEnv+"=4")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child.Close()
	id := must(first.Deliver(ctx, "early", w0))
	carried := must(first.Dup())
	defer carried.Close()
	d := must(ResumeDeliverer(carried, first.Last()))
	defer d.Close()
	first.Close()
	wantReply(t, d, Reply{Taken: id})
	if id := must(d.Deliver(ctx, "late", w0)); id != 2 {
		t.Errorf("the ID after the replacement is %d", id)
	}
	if err := d.Owned(ctx); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if out.String() != "early late owned" {
		t.Errorf("the generation printed %q", out.String())
	}
}

func helpGeneration([]string) error {
	ctx := context.Background()
	in, err := OpenIntake()
	if err != nil {
		return err
	}
	if _, set := os.LookupEnv(SocketEnv); set {
		return errors.New("the variable is still set")
	}
	if flags, err := unix.FcntlInt(4, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("descriptor 4 has the flags %#x, %v", flags, err)
	}
	for {
		d, err := in.Next(ctx)
		if err != nil {
			return err
		}
		if d.Owned {
			fmt.Print("owned")
			return in.Close()
		}
		fmt.Print(d.Name, " ")
		if err := in.Taken(ctx, d.ID); err != nil {
			return err
		}
	}
}

// TestOpenIntakeRefuses has variables that name no such socket.
func TestOpenIntakeRefuses(t *testing.T) {
	leaktest.Check(t)
	if in, err := OpenIntake(); in != nil || err != nil {
		t.Fatalf("without the variable: %v, %v", in, err)
	}
	_, w0 := pipe(t)
	_, tcp := tcpPair(t)
	numbers := []string{"", "x", "2", "-1", "/run/socket", "1000000"}
	for _, c := range []syscall.Conn{w0, tcp} {
		control(t, c, func(fd int) { numbers = append(numbers, fmt.Sprint(fd)) })
	}
	for _, n := range numbers {
		t.Setenv(SocketEnv, n)
		in, err := OpenIntake()
		if in != nil || err == nil || !strings.Contains(err.Error(), SocketEnv) {
			t.Errorf("%s=%q: %v, %v", SocketEnv, n, in, err)
		}
		if _, set := os.LookupEnv(SocketEnv); set {
			t.Errorf("%s=%q is still set", SocketEnv, n)
		}
	}
}
