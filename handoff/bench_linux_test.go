package handoff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func init() { helpers["hold"] = hold }

// hold opens as many connections as it is told, and holds them until its input
// ends.
func hold(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for range n {
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			return err
		}
		defer c.Close()
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// BenchmarkRestart replaces a generation that holds N idle connections by the
// next one, both in this process: from the moment the first is told to stop until
// the second waits for each connection's next byte. The floor of the same run is
// sendmsg(2) and recvmsg(2) of as many sockets with nothing else. Times are the
// process's CPU time, which other programs do not change much. conn is a Carrier's
// connection, which its ConnFunc has as a *net.TCPConn in a goroutine of its own;
// http is one of an http.Server.
//
//	go test -run '^$' -bench Restart -benchtime 10x ./handoff
func BenchmarkRestart(b *testing.B) {
	for _, kind := range []string{protocol.KindConn, protocol.KindHTTP} {
		for _, n := range []int{1000, 4000, 16000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) { benchmarkRestart(b, kind, n) })
		}
	}
}

func benchmarkRestart(b *testing.B, kind string, n int) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(n)+2000 {
		b.Skipf("RLIMIT_NOFILE is %d", limit.Cur)
	}
	m := newBenchManager(b)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	m.listener, err = ln.(*net.TCPListener).File()
	if err != nil {
		b.Fatal(err)
	}
	ln.Close()
	g := m.start(b, kind)
	client := helpertest.Command(b, "hold", ln.Addr().String(), strconv.Itoa(n))
	end, err := client.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	defer end.Close()
	out, err := client.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := client.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("held"))); err != nil {
		b.Fatal(err)
	}
	g.await(b, n)

	var floor, leave, take time.Duration
	var memory uint64
	for b.Loop() {
		began := cpuTime(b)
		g.stop(b)
		leave += cpuTime(b) - began
		floor += floorOf(b, n)
		empty := inUse()
		began = cpuTime(b)
		g = m.start(b, kind)
		g.await(b, n)
		take += cpuTime(b) - began
		memory += inUse() - empty
		if c := g.svc.Counters(); c.CarriedIn != uint64(n) {
			b.Fatalf("%+v", c)
		}
	}
	g.stop(b)
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / float64(n) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(per(floor), "floor-ns/conn")
	b.ReportMetric(per(leave), "leave-ns/conn")
	b.ReportMetric(per(take), "take-ns/conn")
	b.ReportMetric(per(leave+take)/per(floor), "both/floor")
	b.ReportMetric(float64(memory)/float64(b.N)/float64(n), "B/conn")
}

// inUse returns the bytes of memory in use, stacks included.
func inUse() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc + s.StackInuse
}

// cpuTime returns how long this process has worked.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// floorOf returns how long it takes to move n descriptors through a socket.
func floorOf(b *testing.B, n int) time.Duration {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
	fds := make([]int, n)
	for i := range fds {
		if fds[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			b.Fatal(err)
		}
	}
	const batch = 253
	oob := make([]byte, unix.CmsgSpace(4*batch))
	got := make([]int, 0, n)
	began := cpuTime(b)
	for part := range slices.Chunk(fds, batch) {
		if err := unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(part...), nil, 0); err != nil {
			b.Fatal(err)
		}
	}
	took := cpuTime(b) - began
	for _, fd := range fds {
		unix.Close(fd)
	}
	began = cpuTime(b)
	for len(got) < n {
		_, oobn, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			b.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			b.Fatal(err)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			b.Fatal(err)
		}
		got = append(got, fds...)
	}
	took += cpuTime(b) - began
	for _, fd := range got {
		unix.Close(fd)
	}
	return took
}

// A benchManager is an fd store for generations in this process.
type benchManager struct {
	receiver *notify.Receiver
	listener *os.File

	mu    sync.Mutex
	store []activation.NamedFile
}

func newBenchManager(b *testing.B) *benchManager {
	dir, err := os.MkdirTemp("", "handoff")
	if err != nil {
		b.Fatal(err)
	}
	m := &benchManager{}
	if m.receiver, err = notify.Listen(filepath.Join(dir, "notify")); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			n, err := m.receiver.Receive(ctx)
			if err != nil {
				return
			}
			m.act(n)
		}
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		m.receiver.Close()
		os.RemoveAll(dir)
		for _, f := range append(m.store, activation.NamedFile{File: m.listener}) {
			f.File.Close()
		}
	})
	return m
}

func (m *benchManager) act(n *notify.Notification) {
	defer n.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch name := n.Message.FDName(); {
	case n.Message.Has("FDSTORE", "1"):
		for _, f := range n.Take() {
			m.store = append(m.store, activation.NamedFile{Name: name, File: f})
		}
	case n.Message.Has("FDSTOREREMOVE", "1"):
		kept := m.store[:0]
		for _, f := range m.store {
			if f.Name == name {
				f.File.Close()
			} else {
				kept = append(kept, f)
			}
		}
		m.store = kept
	}
}

// A benchGeneration runs in this process.
type benchGeneration struct {
	svc    *Service
	done   chan error
	served atomic.Int64 // connections that wait for a byte
}

func (m *benchManager) start(b *testing.B, kind string) *benchGeneration {
	const first = 19_000 // numbers that nothing else has
	m.mu.Lock()
	files := append([]activation.NamedFile{{Name: "ln", File: m.listener}}, m.store...)
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
		if err := control(f.File, func(fd int) error { return unix.Dup3(fd, first+i, unix.O_CLOEXEC) }); err != nil {
			b.Fatal(err)
		}
	}
	m.mu.Unlock()
	set, err := activation.Options{FirstFD: first, Env: map[string]string{
		"LISTEN_PID":     strconv.Itoa(os.Getpid()),
		"LISTEN_FDS":     strconv.Itoa(len(files)),
		"LISTEN_FDNAMES": strings.Join(names, ":"),
	}}.Inherit()
	if err != nil {
		b.Fatal(err)
	}
	manager, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + m.receiver.Addr(), "FDSTORE=64"}}.Open()
	if err != nil {
		b.Fatal(err)
	}
	g := &benchGeneration{done: make(chan error, 1)}
	report := func(err error) { b.Error(err) }
	g.svc = newService(context.Background(), Options{Report: report}, set, manager, nil, 0)
	ln, err := g.svc.Listen("ln", "tcp", "")
	if err != nil {
		b.Fatal(err)
	}
	if kind == protocol.KindHTTP {
		srv := &http.Server{ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				g.served.Add(1)
			}
		}}
		err = g.svc.Serve(ln, srv)
	} else {
		var k *Carrier
		k, err = g.svc.Carry("k", g.wait)
		err = errors.Join(err, k.Serve(ln))
	}
	if err != nil {
		b.Fatal(err)
	}
	go func() { g.done <- g.svc.Run(context.Background()) }()
	return g
}

// wait is a ConnFunc that waits for a byte that does not come.
func (g *benchGeneration) wait(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
	g.served.Add(1)
	var b [1]byte
	if _, err := c.Read(b[:]); errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, ErrCarry
	}
	return nil, errors.New("the client ended")
}

func (g *benchGeneration) await(b *testing.B, n int) {
	for deadline := time.Now().Add(poll.Patience); g.served.Load() < int64(n); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d connections", g.served.Load(), n)
		}
	}
}

func (g *benchGeneration) stop(b *testing.B) {
	g.svc.Stop()
	if err := <-g.done; err != nil {
		b.Fatal(err)
	}
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = do(int(fd)) })
	return errors.Join(err, inner)
}
