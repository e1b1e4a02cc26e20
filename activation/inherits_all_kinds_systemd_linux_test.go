package activation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// program is where the test binary is inside a machine.
const program = "/usr/local/bin/activation.test"

// install puts the test binary into m.
func install(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	m.InstallFile(program, systemdtest.BuildTest(t), 0o755)
}

// service is a unit file that runs a helper of the test binary.
func service(helper string, lines ...string) string {
	return fmt.Sprintf("[Service]\nExecStart=%s\nEnvironment=%s=%s\nNonBlocking=yes\n%s\n",
		program, helpertest.Variable, helper, strings.Join(lines, "\n"))
}

// await returns the file's contents once it is there.
func await(t *testing.T, m *systemdtest.Machine, path string) string {
	t.Helper()
	var text []byte
	poll.Until(t, path, func() (ok bool) {
		var err error
		text, err = os.ReadFile(m.Path(path))
		return err == nil
	})
	return string(text)
}

// ask connects inside the machine and returns what the server says.
func ask(t *testing.T, m *systemdtest.Machine, network, address string) (said string, own net.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := m.Dial(ctx, network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%s %s: %v", network, address, err)
	}
	return string(text), c.LocalAddr()
}

// send sends one message to a socket or into a FIFO inside the machine.
func send(t *testing.T, m *systemdtest.Machine, network, address, message string) {
	t.Helper()
	var w io.WriteCloser
	var err error
	if network == "fifo" {
		w, err = os.OpenFile(m.Path(address), os.O_WRONLY, 0)
	} else {
		w, err = m.Dial(t.Context(), network, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := io.WriteString(w, message); err != nil {
		t.Fatal(err)
	}
}

func TestSystemd(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		t.Run("sockets", func(t *testing.T) { testSockets(t, m) })
		t.Run("accept", func(t *testing.T) { testAccept(t, m) })
		t.Run("vsock", func(t *testing.T) { testVsock(t, m) })
	})
}

func testSockets(t *testing.T, m *systemdtest.Machine) {
	m.InstallUnit("all.socket", `[Socket]
ListenStream=127.0.0.1:8080
ListenStream=[::1]:8080
ListenStream=/run/all/stream
ListenStream=@all-stream
ListenSequentialPacket=/run/all/seqpacket
ListenDatagram=127.0.0.1:8080
ListenDatagram=/run/all/datagram
ListenFIFO=/run/all/fifo
ListenSpecial=/dev/pts/ptmx
ListenMessageQueue=/all
FileDescriptorName=all
`)
	m.InstallUnit("admin.socket", "[Socket]\nListenStream=127.0.0.1:8081\nFileDescriptorName=admin page\nService=all.service\n")
	m.InstallUnit("plain.socket", "[Socket]\nListenStream=127.0.0.1:8082\nService=all.service\n")
	m.InstallUnit("all.service", "[Unit]\nRequires=all.socket admin.socket plain.socket\n"+
		service(serveAll, "Sockets=all.socket admin.socket plain.socket"))
	m.Systemctl("start", "all.socket", "admin.socket", "plain.socket")
	if state := m.Property("all.service", "ActiveState"); state != "inactive" {
		t.Fatalf("the service is %s before anybody connected", state)
	}

	// The first connection starts the service.
	if said, _ := ask(t, m, "tcp", "127.0.0.1:8080"); said != "all tcp 127.0.0.1:8080" {
		t.Errorf("the first connection got %q", said)
	}
	if state := m.Property("all.service", "ActiveState"); state != "active" {
		t.Errorf("the service is %s", state)
	}
	for _, tt := range []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:8080", "all tcp 127.0.0.1:8080"},
		{"tcp", "[::1]:8080", "all tcp [::1]:8080"},
		{"unix", "/run/all/stream", "all unix /run/all/stream"},
		{"unix", "@all-stream", "all unix @all-stream"},
		{"unixpacket", "/run/all/seqpacket", "all unixpacket /run/all/seqpacket"},
		{"tcp", "127.0.0.1:8081", "admin page tcp 127.0.0.1:8081"},
		{"tcp", "127.0.0.1:8082", "plain.socket tcp 127.0.0.1:8082"},
	} {
		if said, _ := ask(t, m, tt.network, tt.address); said != tt.want {
			t.Errorf("%s %s said %q, want %q", tt.network, tt.address, said, tt.want)
		}
	}
	send(t, m, "udp", "127.0.0.1:8080", "by udp")
	send(t, m, "unixgram", "/run/all/datagram", "by unixgram")
	send(t, m, "fifo", "/run/all/fifo", "by FIFO\n")
	m.Output("env", helpertest.Variable+"="+sendQueue, program, "/all", "by queue")
	for _, tt := range []struct{ file, want string }{
		{"udp", "by udp"},
		{"unixgram", "by unixgram"},
		{"FIFO", "by FIFO\n"},
		{"message queue", "by queue"},
		{"character device", "terminal"},
	} {
		if got := await(t, m, "/run/got/"+tt.file); got != tt.want {
			t.Errorf("by %s the service got %q, want %q", tt.file, got, tt.want)
		}
	}

	var r serveReport
	if err := json.Unmarshal([]byte(await(t, m, "/run/got/report")), &r); err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.Names) // different units come in no order that can be relied on
	if want := []string{"admin page", "all", "plain.socket"}; !slices.Equal(r.Names, want) {
		t.Errorf("names %q, want %q", r.Names, want)
	}
	// One unit's sockets come in the order of the unit file.
	if want := []string{
		"listening stream socket (tcp) on 127.0.0.1:8080",
		"listening stream socket (tcp) on [::1]:8080",
		"listening stream socket (unix) on /run/all/stream",
		"listening stream socket (unix) on @all-stream",
		"listening seqpacket socket (unix) on /run/all/seqpacket",
		"datagram socket (udp) on 127.0.0.1:8080",
		"datagram socket (unix) on /run/all/datagram",
		"FIFO /run/all/fifo",
		"character device /dev/pts/ptmx",
		"message queue /all",
	}; !slices.Equal(r.Kinds, want) {
		t.Errorf("kinds %q, want %q", r.Kinds, want)
	}
	if len(r.Failed) > 0 {
		t.Errorf("checks that failed in the service: %q", r.Failed)
	}
	if want := m.Version() >= 259 && r.HasPidfdID; r.PidfdID != want {
		t.Errorf("LISTEN_PIDFDID was there: %v, want %v", r.PidfdID, want)
	}

	// What the service closed at its end is systemd's still, paths included.
	m.Systemctl("stop", "all.service")
	for _, unit := range []string{"all.socket", "admin.socket", "plain.socket"} {
		if state := m.Property(unit, "SubState"); state != "listening" {
			t.Errorf("after the stop of the service %s is %s", unit, state)
		}
	}
	if said, _ := ask(t, m, "unix", "/run/all/stream"); said != "all unix /run/all/stream" {
		t.Errorf("after a stop: %q", said)
	}
	m.Systemctl("stop", "all.socket", "admin.socket", "plain.socket", "all.service")
}

func testAccept(t *testing.T, m *systemdtest.Machine) {
	m.InstallUnit("each.socket", "[Socket]\nListenStream=127.0.0.1:8090\nListenStream=[::1]:8090\nListenStream=/run/each\nAccept=yes\n")
	m.InstallUnit("each@.service", service(servePeer))
	m.Systemctl("start", "each.socket")
	pids := make(map[int]bool)
	const each = 3
	addresses := [][2]string{{"tcp", "127.0.0.1:8090"}, {"tcp", "[::1]:8090"}, {"unix", "/run/each"}}
	for _, a := range addresses {
		for range each {
			said, own := ask(t, m, a[0], a[1])
			var r peerReport
			if err := json.Unmarshal([]byte(said), &r); err != nil {
				t.Fatalf("%v in %q", err, said)
			}
			pids[r.PID] = true
			if !slices.Equal(r.Names, []string{"connection"}) || r.Local != a[1] {
				t.Errorf("names %q, on %s; want connection, on %s", r.Names, r.Local, a[1])
			}
			if a[0] == "unix" {
				continue // the peer has no address
			}
			host, port, err := net.SplitHostPort(own.String())
			if err != nil {
				t.Fatal(err)
			}
			if r.Remote != own.String() || r.RemoteAddr != host || r.RemotePort != port {
				t.Errorf("the peer is %s, and by the environment %s port %s; want %s", r.Remote, r.RemoteAddr, r.RemotePort, own)
			}
		}
	}
	if want := each * len(addresses); len(pids) != want {
		t.Errorf("%d processes served %d connections", len(pids), want)
	}
	m.Systemctl("stop", "each.socket")
}

func testVsock(t *testing.T, m *systemdtest.Machine) {
	if err := activation.VsockMissing(); err != nil {
		t.Skipf("this kernel has no vsock: %v", err)
	}
	// Machines share the kernel's vsock ports with each other and with the host.
	port := 100_000 + os.Getpid()
	m.InstallUnit("vm.socket", fmt.Sprintf("[Socket]\nListenStream=vsock::%d\n", port))
	m.InstallUnit("vm.service", service(serveVsock))
	m.Systemctl("start", "vm.socket", "vm.service")
	if got, want := await(t, m, "/run/got/vsock"), fmt.Sprintf("vsock any:%d", port); got != want {
		t.Errorf("the listener is %s, want %s", got, want)
	}
	m.Systemctl("stop", "vm.socket", "vm.service")
}
