package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// A stream is a client of the program keeper that checks every answer.
type stream struct {
	net.Conn
	next, sum uint64
}

func (s *stream) step() error {
	s.next++
	s.sum += s.next
	s.SetDeadline(time.Now().Add(poll.Patience))
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, s.next)); err != nil {
		return err
	}
	var b [8]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return fmt.Errorf("after %d numbers: %w", s.next, err)
	}
	if got := binary.BigEndian.Uint64(b[:]); got != s.sum {
		return fmt.Errorf("after %d numbers the sum is %d, want %d", s.next, got, s.sum)
	}
	return nil
}

// A watched is the program keeper under handoffd, and clients of it.
type watched struct {
	t       *testing.T
	m       *systemdtest.Machine
	streams []*stream
	counter net.Conn
	counted int
}

// dialKept connects the clients.
func dialKept(t *testing.T, m *systemdtest.Machine) *watched {
	t.Helper()
	k := &watched{t: t, m: m}
	dial := func(network, address string) net.Conn {
		c, err := m.Dial(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	k.counter = dial("udp", "127.0.0.1:7008")
	for range 300 { // more than one message of a parcel holds
		k.streams = append(k.streams, &stream{Conn: dial("tcp", "127.0.0.1:7007")})
	}
	k.step()
	return k
}

// step has every stream go on, a datagram counted, and the count be what it is.
func (k *watched) step() {
	k.t.Helper()
	for i, s := range k.streams {
		if err := s.step(); err != nil {
			k.t.Fatalf("stream %d: %v", i, err)
		}
	}
	if _, err := k.counter.Write([]byte("x")); err != nil {
		k.t.Fatal(err)
	}
	k.counted++
	client := &http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { return k.m.Dial(ctx, network, address) }}}
	poll.Until(k.t, fmt.Sprintf("a count of %d", k.counted), func() bool {
		answer, err := client.Get("http://localhost/count")
		if err != nil {
			k.t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			k.t.Fatal(err)
		}
		n, err := strconv.Atoi(string(b))
		if err != nil || n > k.counted {
			k.t.Fatalf("the count is %q, want %d", b, k.counted)
		}
		return n == k.counted
	})
}

// TestResume: a successor that is ready, and fails while its predecessor hands over,
// costs no client anything, but where it crashes with connections in its hands.
func TestResume(t *testing.T) {
	cases := []struct {
		mode   string
		reason []string
		takes  bool // and loses connections
	}{
		{mode: "refuses", reason: []string{"stopped by itself", `the count`, "makes no sense"}},
		{mode: "dies", reason: []string{"exit status 1", "died with nothing taken"}},
		{mode: "hangs", reason: []string{"did not take in time what its predecessor left"}},
		{mode: "crashes", reason: []string{"exit status 1", "crashed in Load"}, takes: true},
	}
	keeper := systemdtest.Build(t, "./testdata/keeper")
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		const path = "/usr/local/bin/keeper"
		m.InstallFile(path, keeper, 0o755)
		mode := func(s string) { m.WriteFile("/etc/keeper", []byte(s+"\n"), 0o644) }
		mode("good")
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-later --handover-timeout 3s -- "+path+"\n")
		k := dialKept(t, m)
		generation := 1
		for _, c := range cases {
			o := loadtest.Options{Clients: 8, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
			bad := func() {
				mode(c.mode)
				if out, err := m.TrySystemctl("reload", service); err == nil {
					t.Errorf("%s: the reload succeeds: %s", c.mode, out)
				}
				generation++
				status, err := handoffd(t, m, "status")
				if err != nil {
					t.Fatalf("%v: %s", err, status)
				}
				for _, text := range append(c.reason, fmt.Sprintf("generation %d undone", generation)) {
					if !strings.Contains(status, text) {
						t.Errorf("%s: the status does not say %q:\n%s", c.mode, text, status)
					}
				}
			}
			if c.takes {
				bad()
				for _, s := range k.streams {
					s.Close()
				}
				k.streams = nil
				k.step()
				continue
			}
			result := underLoad(t, m, o, func(load *loadtest.Load) {
				progress(t, load, 100)
				bad()
				k.step()
				progress(t, load, 100)
				mode("good")
				m.Systemctl("reload", service)
				generation++
				k.step()
				progress(t, load, 100)
			})
			if n := result.Total.Counts.Reconnected; n != 0 {
				t.Errorf("%s: clients reconnected %d times", c.mode, n)
			}
		}
		poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
		if log := m.Journal("-u", service); !strings.Contains(log, "serves again") {
			t.Errorf("the journal does not tell of a generation that serves again:\n%s", log)
		}
	})
}

// TestStoredWithoutSocket: a program that does not read HANDOFF_SOCKET gets what its
// predecessor stored while it ran already when it starts the next time, or, what only
// one may have, when it starts alone. Nothing of it is lost.
func TestStoredWithoutSocket(t *testing.T) {
	const program = python + `
import array, signal
names = sorted(os.environ.get("LISTEN_FDNAMES", "").split(":"))
number = os.environ["HANDOFF_GENERATION"]
def store(name, fd):
    s.sendmsg([b"FDSTORE=1\nFDPOLL=0\nFDNAME=" + name.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
def stop(*args):
    store("file" + number, os.memfd_create("file"))
    pair = socket.socketpair()
    store("conn" + number, pair[0].fileno())
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
s.send(("READY=1\nSTATUS=%d has %s." % (os.getpid(), " ".join(names))).encode())
while True: signal.pause()
`
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		const path = "/usr/local/bin/stores"
		m.WriteFile(path, []byte(program), 0o755)
		begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-later -- "+path+"\n")
		has := func(names string) (pid string) {
			t.Helper()
			poll.Until(t, "one generation, with "+names, func() bool {
				g := statusOf(t, m).Generations
				if len(g) != 1 || generations(t, m) != 1 {
					return false
				}
				var has string
				pid, has, _ = strings.Cut(g[0].Status, " has ")
				return has == names+"."
			})
			return pid
		}
		has("http")
		m.Systemctl("reload", service)
		has("http") // started before the first one stored anything
		m.Systemctl("reload", service)
		m.Output("kill", "-KILL", has("file1 http"))
		has("conn1 conn2 file1 file2 http")
	})
}
