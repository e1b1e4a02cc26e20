package activation

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestInheritSetsFlags(t *testing.T) {
	leaktest.Check(t)
	device := open(t, os.DevNull)
	if err := unix.SetNonblock(device, false); err != nil {
		t.Fatal(err)
	}
	o := pass(t, []string{"tcp", "udp", "null"}, tcpListener(t), udpSocket(t), device)
	for i := range 3 {
		if closeOnExec, nonblock := flags(t, o.FirstFD+i); closeOnExec || nonblock {
			t.Fatalf("the test passes a descriptor that is prepared already")
		}
	}
	s, err := o.Inherit()
	if err != nil {
		t.Fatal(err)
	}
	for i, socket := range []bool{true, true, false} {
		closeOnExec, nonblock := flags(t, o.FirstFD+i)
		if !closeOnExec || nonblock != socket {
			t.Errorf("descriptor %d: close-on-exec %v, non-blocking %v; want true, %v", i, closeOnExec, nonblock, socket)
		}
	}
	if got, want := s.Names(), []string{"tcp", "udp", "null"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if err := s.Close(); err == nil {
		t.Error("Close did not report what nobody took")
	}
}

func TestInheritUnsetsOnce(t *testing.T) {
	leaktest.Check(t)
	for _, tt := range []struct {
		name, fds string
		is        error
	}{
		{"right", "1", nil},
		{"malformed", "none", ErrVariable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := pass(t, []string{"tcp"}, tcpListener(t))
			defer unix.Close(o.FirstFD)
			id, _ := ownPidfdID()
			for key, value := range o.Env {
				t.Setenv(key, value)
			}
			t.Setenv(envFDs, tt.fds)
			if id != 0 {
				t.Setenv(envPIDFDID, strconv.FormatUint(id, 10))
			}
			s, err := Options{FirstFD: o.FirstFD}.Inherit()
			if !errors.Is(err, tt.is) || s.Activated() != true {
				t.Fatalf("Inherit: %v, activated %v", err, s.Activated())
			}
			for _, key := range []string{envPID, envPIDFDID, envFDs, envNames} {
				if value, ok := os.LookupEnv(key); ok {
					t.Errorf("%s=%s is still set", key, value)
				}
			}
			again, err := Inherit()
			if err != nil || again.Activated() || again.Close() != nil {
				t.Errorf("the second Inherit found %q, %v", again.Names(), err)
			}
			if tt.is == nil {
				if _, err := s.Files("tcp"); err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := s.Listen(t.Context(), "tcp", "tcp", "127.0.0.1:0"); !errors.Is(err, tt.is) {
				t.Errorf("Listen after a failed Inherit: %v, want its error", err)
			}
		})
	}
}

func TestInheritChecksIdentities(t *testing.T) {
	leaktest.Check(t)
	id, ok := ownPidfdID()
	if !ok {
		t.Log("this kernel has no pidfs: LISTEN_PIDFDID is not compared")
	}
	for _, tt := range []struct {
		name       string
		pid        int
		id         string
		want, skip bool
	}{
		{name: "own PID", pid: os.Getpid(), want: true},
		{name: "another PID", pid: os.Getppid()},
		{name: "own pidfd", pid: os.Getpid(), id: strconv.FormatUint(id, 10), want: true, skip: !ok},
		{name: "another pidfd", pid: os.Getpid(), id: strconv.FormatUint(id+1, 10), skip: !ok},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skip {
				t.Skip("this kernel has no pidfs")
			}
			o := pass(t, []string{"tcp"}, tcpListener(t))
			o.Env[envPID] = strconv.Itoa(tt.pid)
			if tt.id != "" {
				o.Env[envPIDFDID] = tt.id
			}
			s, err := o.Inherit()
			if err != nil || s.Activated() != tt.want {
				t.Fatalf("activated %v, %v; want %v", s.Activated(), err, tt.want)
			}
			if len(o.Env) != 0 {
				t.Errorf("%v is still set", o.Env)
			}
			s.Close()
			if isOpen(o.FirstFD) != !tt.want {
				t.Errorf("descriptor is open: %v, want %v: another's is left alone, the own one closed", !tt.want, tt.want)
			}
			if !tt.want {
				unix.Close(o.FirstFD)
			}
		})
	}
}

func TestInheritReportsClosedDescriptors(t *testing.T) {
	leaktest.Check(t)
	o := pass(t, []string{"a", "b", "c"}, tcpListener(t), tcpListener(t), tcpListener(t))
	unix.Close(o.FirstFD + 1)
	o.Env[envFDs] = "6"
	o.Env[envNames] = "a:b:c:d:e:f"
	s, err := o.Inherit()
	want := fmt.Sprintf("activation: 4 of 6 inherited descriptors: descriptor is not open: fd %d, %d-%d", o.FirstFD+1, o.FirstFD+3, o.FirstFD+5)
	if !errors.Is(err, ErrNotOpen) || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if got := s.Names(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("names %q, want a and c: each keeps its own", got)
	}
	for _, name := range s.Names() {
		l, err := s.Listener(name)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestInheritOfNothingOpenRefusesToListen(t *testing.T) {
	s, err := Options{FirstFD: 900, Env: map[string]string{envPID: strconv.Itoa(os.Getpid()), envFDs: "1048576"}}.Inherit()
	if !errors.Is(err, ErrNotOpen) || !strings.Contains(err.Error(), "fd 900-1049475") {
		t.Fatalf("got %v, want an error with the range of them", err)
	}
	if _, err := s.Listen(t.Context(), "http", "tcp", "127.0.0.1:0"); !errors.Is(err, ErrNotOpen) {
		t.Errorf("Listen: %v, want the error of Inherit rather than a fresh socket", err)
	}
}

func TestInheritWithWrongNamesKeepsDescriptors(t *testing.T) {
	leaktest.Check(t)
	o := pass(t, []string{"a", "b"}, tcpListener(t), udpSocket(t))
	o.Env[envNames] = "a"
	s, err := o.Inherit()
	if !errors.Is(err, ErrNames) {
		t.Fatalf("got %v, want ErrNames", err)
	}
	l, err := s.Listener(Unknown)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := s.PacketConn(Unknown)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestInheritThousand(t *testing.T) {
	leaktest.Check(t)
	const n = 1000
	fds, names := make([]int, n), make([]string, n)
	for i := range n {
		fds[i] = socket(t, unix.AF_UNIX, unix.SOCK_STREAM, 0, &unix.SockaddrUnix{Name: fmt.Sprintf("@holdfast-%d-%d", os.Getpid(), i)}, true)
		names[i] = "many"
	}
	// Their own numbers would be in the way: above them is room.
	o := Options{FirstFD: slices.Max(fds) + 1}
	for i, fd := range fds {
		place(t, fd, o.FirstFD+i)
	}
	o.Env = map[string]string{envPID: strconv.Itoa(os.Getpid()), envFDs: strconv.Itoa(n), envNames: strings.Join(names, ":")}
	s, err := o.Inherit()
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := s.Listeners("many")
	if err != nil || len(listeners) != n {
		t.Fatalf("%d listeners, %v; want %d", len(listeners), err, n)
	}
	for i, l := range listeners {
		if want := fmt.Sprintf("@holdfast-%d-%d", os.Getpid(), i); l.Addr().String() != want {
			t.Fatalf("listener %d is %v, want %s", i, l.Addr(), want)
		}
		l.Close()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestInheritRemote(t *testing.T) {
	leaktest.Check(t)
	fd, _ := tcpPair(t)
	o := pass(t, []string{"connection"}, fd)
	o.Env[envRemoteAddr], o.Env[envRemotePort] = "192.0.2.1", "4711"
	s, err := o.Inherit()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if addr, port := s.Remote(); addr != "192.0.2.1" || port != "4711" {
		t.Errorf("got %q, %q", addr, port)
	}
	if want := map[string]string{envRemoteAddr: "192.0.2.1", envRemotePort: "4711"}; !maps.Equal(o.Env, want) {
		t.Errorf("left in the environment: %v, want %v", o.Env, want)
	}
}

func TestTakeFromManyGoroutines(t *testing.T) {
	leaktest.Check(t)
	const n = 50
	var names []string
	var fds []int
	for range n {
		names, fds = append(names, "tcp", "udp"), append(fds, tcpListener(t), udpSocket(t))
	}
	high := Options{FirstFD: slices.Max(fds) + firstTestFD}
	for i, fd := range fds {
		place(t, fd, high.FirstFD+i)
	}
	high.Env = map[string]string{envPID: strconv.Itoa(os.Getpid()), envFDs: strconv.Itoa(len(fds)), envNames: strings.Join(names, ":")}
	s, err := high.Inherit()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 8 {
		wg.Go(func() {
			l, err := s.Listeners("tcp")
			if err != nil && !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
			p, err := s.PacketConns("udp")
			if err != nil && !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
			s.Unclaimed()
			mu.Lock()
			defer mu.Unlock()
			taken += len(l) + len(p)
			for _, c := range l {
				c.Close()
			}
			for _, c := range p {
				c.Close()
			}
		})
	}
	wg.Wait()
	if taken != 2*n {
		t.Errorf("%d taken, want each of %d once", taken, 2*n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
