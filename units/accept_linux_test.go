package units

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestAcceptServes: Accept=yes, where a program is replaced by writing it anew: the
// next connections get the new one, and none is lost.
func TestAcceptServes(t *testing.T) {
	const echo = "#!/bin/sh\necho %s\nexec cat\n"
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		const program = "/usr/local/bin/echo-lines"
		write := func(version string) { m.WriteFile(program, fmt.Appendf(nil, echo, version), 0o755) }
		write("v1")
		d := Description{Name: "lines", Kind: KindAccept, Sockets: []Socket{{"lines", "unix", "/run/lines"}}, Command: []string{program}}
		x := manager{t: t, m: m}
		x.install(rendered(t, d))
		texts := make(map[string]string)
		for _, file := range []string{"holdfast-accept.socket", "holdfast-accept@.service"} {
			texts[file] = pairs(t)[file]
		}
		x.install(texts)
		x.ctl("start", "lines.socket", "holdfast-accept.socket")

		ask := func(c net.Conn, text string) string {
			t.Helper()
			r := bufio.NewReader(c)
			if _, err := io.WriteString(c, text+"\n"); err != nil {
				t.Fatal(err)
			}
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(line)
		}
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := m.Dial(ctx, network, address)
			if err == nil {
				err = c.SetDeadline(time.Now().Add(poll.Patience))
			}
			return c, err
		}
		for range 3 {
			c, err := dial(t.Context(), "tcp", "127.0.0.1:7")
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(c, "hello"); got != "hello" {
				t.Errorf("the embedded pair answers %q", got)
			}
			c.Close()
		}

		const clients, each = 4, 15
		var v1, v2 atomic.Int64
		errs := make(chan error, clients)
		replaced := make(chan struct{})
		for range clients {
			go func() {
				errs <- func() error {
					for i := range each {
						if i == each/2 {
							<-replaced
						}
						c, err := dial(t.Context(), "unix", "/run/lines")
						if err != nil {
							return err
						}
						said, err := bufio.NewReader(c).ReadString('\n')
						c.Close()
						switch {
						case said == "v1\n":
							v1.Add(1)
						case said == "v2\n":
							v2.Add(1)
						default:
							return fmt.Errorf("a connection said %q, %v", said, err)
						}
					}
					return nil
				}()
			}()
		}
		poll.Until(t, "answers of the first version", func() bool { return v1.Load() >= clients })
		old, err := dial(t.Context(), "unix", "/run/lines")
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if said, err := bufio.NewReader(old).ReadString('\n'); said != "v1\n" {
			t.Errorf("the first version says %q, %v", said, err)
		}
		write("v2")
		close(replaced)
		for range clients {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if v1.Load()+v2.Load() != clients*each || v2.Load() == 0 {
			t.Errorf("%d answers of the first version and %d of the second, want %d", v1.Load(), v2.Load(), clients*each)
		}
		if got := ask(old, "still"); got != "still" {
			t.Errorf("the connection of before says %q", got)
		}
		if state := m.Property("lines.socket", "ActiveState"); state != "active" {
			t.Errorf("the socket is %s", state)
		}
	})
}

// TestAcceptRefusesService is why Render refuses several names for KindAccept: systemd
// does not start a socket of Accept=yes that names its service.
func TestAcceptRefusesService(t *testing.T) {
	onMachines(t, systemdtest.Options{All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile("/usr/local/bin/echo-lines", []byte("#!/bin/sh\nexec cat\n"), 0o755)
		d := Description{Name: "lines", Kind: KindAccept, Sockets: []Socket{{"lines", "unix", "/run/lines"}}, Command: []string{"/usr/local/bin/echo-lines"}}
		manager{t: t, m: m}.install(rendered(t, d))
		m.Systemctl("start", "lines.socket")
		m.Systemctl("stop", "lines.socket")
		for _, service := range []string{"lines.service", "lines@1.service"} {
			m.InstallUnit("lines.socket.d/service.conf", "[Socket]\nService="+service+"\n")
			if out, err := m.TrySystemctl("start", "lines.socket"); err == nil {
				t.Errorf("systemd %d starts a socket of Accept=yes with Service=%s: %s", m.Version(), service, out)
			}
		}
	})
}
