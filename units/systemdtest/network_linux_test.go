package systemdtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
	"golang.org/x/sys/unix"
)

// echoPath fits an address inside the machine, and not with the way to it.
var echoPath = "/run/" + strings.Repeat("long", 24) + "/s" // 103 of 107 bytes

const echoService = "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n"

func installEcho(m *Machine) {
	m.InstallUnit("echo.socket", fmt.Sprintf(`[Socket]
ListenStream=127.0.0.1:7
ListenStream=[::1]:7
ListenStream=/run/echo/sock
ListenStream=%s
ListenStream=@echo
Accept=yes
TriggerLimitIntervalSec=0
`, echoPath))
	m.InstallUnit("echo@.service", echoService)
	m.Systemctl("start", "echo.socket")
}

// echo sends a word over conn and fails unless it comes back.
func echo(t testing.TB, conn net.Conn, word string) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(conn, word); err != nil {
		t.Error(err)
		return
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != word {
		t.Errorf("sent %q, got %q, %v", word, got, err)
	}
}

func TestDial(t *testing.T) {
	leaktest.Check(t)
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		installEcho(m)
		for _, c := range []struct{ network, address string }{
			{"tcp", "127.0.0.1:7"},
			{"tcp6", "[::1]:7"},
			{"unix", "/run/echo/sock"},
			{"unix", "/var/run/echo/sock"},
			{"unix", echoPath},
			{"unix", "@echo"},
		} {
			conn, err := m.Dial(t.Context(), c.network, c.address)
			if err != nil {
				t.Errorf("dial %s %s: %v", c.network, c.address, err)
				continue
			}
			echo(t, conn, "hello "+c.address)
		}
		var served int
		for line := range strings.Lines(m.Systemctl("show", "-p", "NAccepted", "echo.socket")) {
			if _, err := fmt.Sscanf(line, "NAccepted=%d", &served); err != nil || served != 6 {
				t.Errorf("the socket unit took %q connections, want 6", line)
			}
		}

		for network, address := range map[string]string{"tcp": "127.0.0.1:8", "unix": "@none"} {
			if _, err := m.Dial(t.Context(), network, address); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("dial %s, where nobody listens: %v", address, err)
			}
		}
		if _, err := m.Dial(t.Context(), "unix", "/run/none"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("dial a path that is not there: %v", err)
		}

		// The test listens, and a program inside connects.
		ln, err := m.Listen(t.Context(), "tcp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if _, err := m.Listen(t.Context(), "unix", "/run/mine"); err == nil || !strings.Contains(err.Error(), "Machine.Path") {
			t.Errorf("listen on a path: %v", err)
		}
		inside, err := m.Dial(t.Context(), "tcp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		defer inside.Close()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
}

// TestTwoMachinesAtOnce runs the same unit on the same addresses in two
// machines, and each is reached by its own.
func TestTwoMachinesAtOnce(t *testing.T) {
	leaktest.Check(t)
	Run(t, Options{}, func(t *testing.T, first *Machine) {
		second := bootSame(t, first)
		for i, m := range []*Machine{first, second} {
			m.InstallUnit("name.socket", "[Socket]\nListenStream=127.0.0.1:7\nListenStream=@name\nAccept=yes\n")
			m.InstallUnit("name@.service", fmt.Sprintf("[Service]\nExecStart=/bin/echo machine %d\nStandardOutput=socket\n", i))
			m.Systemctl("start", "name.socket")
		}
		for i, m := range []*Machine{first, second} {
			for network, address := range map[string]string{"tcp": "127.0.0.1:7", "unix": "@name"} {
				conn, err := m.Dial(t.Context(), network, address)
				if err != nil {
					t.Fatal(err)
				}
				said, err := io.ReadAll(conn)
				conn.Close()
				if want := fmt.Sprintf("machine %d\n", i); err != nil || string(said) != want {
					t.Errorf("%s of machine %d answers %q, %v", address, i, said, err)
				}
			}
		}
		if first.group == second.group || first.Output("cat", "/etc/machine-id") == second.Output("cat", "/etc/machine-id") {
			t.Error("two machines have one identity")
		}
	})
}

func TestDialFromManyGoroutines(t *testing.T) {
	leaktest.Check(t)
	const dialers, each = 32, 100
	m := Boot(t, Options{})
	ln, err := m.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int64
	var accepting, dialing sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			served.Add(1)
			conn.Close()
		}
	})
	for range dialers {
		dialing.Go(func() {
			for range each {
				conn, err := m.Dial(t.Context(), "tcp", ln.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				// The server closes first, so its end keeps the address.
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
		})
	}
	dialing.Wait()
	ln.Close()
	accepting.Wait()
	if got := served.Load(); got != dialers*each {
		t.Errorf("%d connections arrived of %d", got, dialers*each)
	}
	if threads := len(m.network.slots); threads > dialers+1 {
		t.Errorf("%d threads for %d dialers", threads, dialers)
	}
	// No thread of the test's own is left in the machine's network.
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the host reached an address of the machine")
	}
}

func TestDialEnds(t *testing.T) {
	leaktest.Check(t)
	m := Boot(t, Options{})
	// A full queue makes further connects wait.
	ln, err := m.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) })
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := m.Dial(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()

	ctx, cancel := context.WithCancelCause(t.Context())
	waits := make(chan error)
	dial := func(ctx context.Context) {
		conn, err := m.Dial(ctx, "tcp", ln.Addr().String())
		if err == nil {
			conn.Close()
		}
		waits <- err
	}
	for range 3 {
		go dial(ctx)
	}
	awaitSynSent(t, m, 2)
	cancel(errors.New("enough"))
	var ended int
	for range 3 {
		if err := <-waits; err != nil {
			ended++
		}
	}
	if ended < 2 {
		t.Errorf("%d of 3 dials into a full queue ended by their context", ended)
	}

	// So does the machine's end.
	go dial(context.Background())
	awaitSynSent(t, m, 1)
	m.network.close()
	if err := <-waits; err == nil {
		t.Error("a dial into a full queue succeeded")
	}
	if _, err := m.Dial(t.Context(), "tcp", ln.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after the end: %v", err)
	}
	m.network = nil // closed already
}

// awaitSynSent waits until n connects of the machine's network wait.
func awaitSynSent(t *testing.T, m *Machine, n int) {
	const synSent = " 02 " // the st column of proc_pid_net(5)
	poll.Until(t, "connects that wait", func() bool {
		return strings.Count(m.Output("cat", "/proc/net/tcp"), synSent) >= n
	})
}

func BenchmarkDial(b *testing.B) {
	m := Boot(b, Options{})
	serve := func(ln net.Listener) {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}
	perSecond := map[string]float64{}
	for _, c := range []struct {
		name   string
		listen func(ctx context.Context, network, address string) (net.Listener, error)
		dial   func(ctx context.Context, network, address string) (net.Conn, error)
	}{
		{"host", new(net.ListenConfig).Listen, new(net.Dialer).DialContext},
		{"machine", m.Listen, m.Dial},
	} {
		b.Run(c.name, func(b *testing.B) {
			ln, err := c.listen(b.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			go serve(ln)
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					conn, err := c.dial(b.Context(), "tcp", ln.Addr().String())
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}
			})
			perSecond[c.name] = float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(perSecond[c.name], "dials/s")
			if host := perSecond["host"]; c.name == "machine" && host > 0 {
				b.ReportMetric(perSecond[c.name]/host, "of-host")
			}
		})
	}
}
