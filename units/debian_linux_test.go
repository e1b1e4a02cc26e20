package units

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// packages are what Debian ships the services with that TestDropIn is about.
var packages = []string{"gunicorn", "systemd-journal-remote", "unicorn", "uuid-runtime"}

// gunicorn's package ships no units. These are those of its own documentation.
const (
	gunicornSocket  = "[Unit]\nDescription=gunicorn socket\n\n[Socket]\nListenStream=/run/gunicorn.sock\n\n[Install]\nWantedBy=sockets.target\n"
	gunicornService = `[Unit]
Description=gunicorn daemon
Requires=gunicorn.socket
After=network.target

[Service]
Type=notify
NotifyAccess=main
User=www-data
RuntimeDirectory=gunicorn
WorkingDirectory=/srv
ExecStart=/usr/bin/gunicorn app:app
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=mixed
TimeoutStopSec=5
PrivateTmp=true

[Install]
WantedBy=multi-user.target
`
	gunicornApp = "def app(environ, start_response):\n    start_response('200 OK', [('Content-Length', '5')])\n    return [b'hello']\n"

	// unicorn is a server for Ruby. Its package ships the service, and no socket.
	unicornSocket = "[Socket]\nListenStream=127.0.0.1:8080\n"
	unicornConfig = "listen '127.0.0.1:8080'\nworker_processes 2\nworking_directory '/srv'\n"
	unicornApp    = "run lambda { |env| [200, { 'content-length' => '5' }, ['hello']] }\n"
)

// TestDropIn puts handoffd around services as Debian ships them: a reload replaces
// the program, a restart too, nobody is refused, and the unit itself stays as it
// was.
func TestDropIn(t *testing.T) {
	onMachines(t, systemdtest.Options{Packages: packages, All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/handoffd", systemdtest.Build(t, "github.com/holdfast-go/holdfast/handoff/handoffd"), 0o755)
		m.WriteFile("/srv/app.py", []byte(gunicornApp), 0o644)
		m.InstallUnit("gunicorn.socket", gunicornSocket)
		m.InstallUnit("gunicorn.service", gunicornService)
		const gatewayd = "systemd-journal-gatewayd.service.d/handoffd.conf"
		t.Run("systemd-journal-gatewayd", func(t *testing.T) {
			// It ends at once when it is told to, whatever it is answering.
			around(t, m, "systemd-journal-gatewayd", map[string]string{gatewayd: pairs(t)[gatewayd]}, httpClients(loadtest.Options{Address: "127.0.0.1:19531", URL: "http://localhost/machine"}, true))
		})
		t.Run("gunicorn", func(t *testing.T) {
			texts := rendered(t, Description{Name: "gunicorn", Kind: KindDropIn, Command: []string{"/usr/bin/gunicorn", "app:app"}})
			around(t, m, "gunicorn", texts, httpClients(loadtest.Options{Network: "unix", Address: "/run/gunicorn.sock", URL: "http://localhost/", Check: loadtest.Equals("hello")}, false))
		})
		m.WriteFile("/srv/config.ru", []byte(unicornApp), 0o644)
		m.WriteFile("/srv/unicorn.conf.rb", []byte(unicornConfig), 0o644)
		m.InstallUnit("unicorn.socket", unicornSocket)
		t.Run("unicorn", func(t *testing.T) {
			texts := rendered(t, Description{Name: "unicorn", Kind: KindDropIn, Ready: "exec", StopSignal: "QUIT", Command: []string{"/usr/bin/unicorn", "-c", "/srv/unicorn.conf.rb", "-E", "production"}})
			around(t, m, "unicorn", texts, httpClients(loadtest.Options{Address: "127.0.0.1:8080", URL: "http://localhost/", Check: loadtest.Equals("hello")}, false))
		})
		t.Run("uuidd", func(t *testing.T) {
			texts := rendered(t, Description{Name: "uuidd", Kind: KindDropIn, Ready: "exec", Command: []string{"/usr/sbin/uuidd", "--socket-activation"}})
			around(t, m, "uuidd", texts, uuidClients)
		})
	})
}

// clients ask until they are stopped. done tells what they lost.
type clients interface {
	answered() int64
	done() error
}

// around puts the drop-in around a service that runs, replaces its program under
// load, and takes the drop-in away again, as the drop-in's head says.
func around(t *testing.T, m *systemdtest.Machine, name string, dropIn map[string]string, start func(*testing.T, *systemdtest.Machine) clients) {
	service, socket := name+".service", name+".socket"
	before := m.Property(service, "FragmentPath")
	own := analyze(t, m, "verify", "--man=no", before) // Debian's unit of unicorn has a mistake
	m.Systemctl("start", socket)
	defer m.Systemctl("stop", socket, service)
	load := start(t, m)
	progress := func() {
		t.Helper()
		want := load.answered() + 50
		poll.Until(t, "50 more answers", func() bool { return load.answered() >= want })
	}
	x := manager{t: t, m: m}
	if name != "unicorn" { // which can't be started by its unit
		progress()
		x.started(service)
	}
	x.install(dropIn)
	if out := analyze(t, m, "verify", "--man=no", before); out != own {
		t.Errorf("with the drop-in systemd-analyze says:\n%s\nwithout it:\n%s", out, own)
	}
	m.Systemctl("restart", service)
	progress()
	x.started(service)
	main := m.Property(service, "MainPID")
	for _, verb := range []string{"reload", "reload", "restart", "reload"} {
		m.Systemctl(verb, service)
		if now := m.Property(service, "MainPID"); (now == main) != (verb == "reload") {
			t.Errorf("after %s the main PID is %s, was %s", verb, now, main)
		} else {
			main = now
		}
		progress()
	}
	if text := m.Property(service, "StatusText"); !strings.Contains(text, "generation 5 serving") {
		t.Errorf("the status is %q", text)
	}
	if after := m.Property(service, "FragmentPath"); after != before {
		t.Errorf("the unit is %s, was %s", after, before)
	}
	for file := range maps.Keys(dropIn) {
		if got, want := m.Property(service, "DropInPaths"), path.Join("/etc/systemd/system", file); got != want {
			t.Errorf("the drop-ins are %q, want %q", got, want)
		}
		if err := os.Remove(m.Path(path.Join("/etc/systemd/system", file))); err != nil {
			t.Error(err)
		}
	}
	m.DaemonReload()
	if name != "unicorn" {
		m.Systemctl("restart", service)
		progress()
		x.started(service)
		if main := m.Property(service, "ExecMainPID"); m.Output("cat", "/proc/"+main+"/comm") == "handoffd" {
			t.Error("the drop-in is gone, and the main process is handoffd")
		}
	}
	if err := load.done(); err != nil {
		t.Error(err)
	}
	text := m.Journal("-u", service)
	if name == "systemd-journal-gatewayd" {
		// How long the program itself takes to end, without handoffd, is not ours: under
		// load it was once busy for longer than its timeout.
		_, text, _ = strings.Cut(text, "generation 1 serves")
	}
	if !strings.Contains(text, "generation 2 serves") || strings.Contains(text, "did not end in time") || strings.Contains(text, "timed out. Killing") {
		t.Errorf("the journal says\n%s", text)
	}
}

// httpLoad are clients over HTTP. Where cuts is set, some may be cut while they are
// answered, but none may be refused.
type httpLoad struct {
	*loadtest.Load
	cuts bool
}

func httpClients(o loadtest.Options, cuts bool) func(*testing.T, *systemdtest.Machine) clients {
	return func(t *testing.T, m *systemdtest.Machine) clients {
		o.Dial, o.Clients, o.Duration, o.Timeout = m.Dial, 4, 10*time.Minute, time.Minute
		l, err := loadtest.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			l.Stop()
			l.Wait()
		})
		return httpLoad{l, cuts}
	}
}

func (l httpLoad) answered() int64 { return l.Counts().OK }

func (l httpLoad) done() error {
	l.Stop()
	result, err := l.Wait()
	if err != nil {
		return err
	}
	if c := result.Total.Counts; l.cuts && c.OK > 0 && c.Refused == 0 && c.OK+c.Reset+c.Cut == c.Requests() && c.Reset+c.Cut < 50 {
		return nil
	}
	return result.Err()
}

// uuidLoad asks uuidd for random numbers, each over a connection of its own.
type uuidLoad struct {
	stop  context.CancelFunc
	ended chan error

	mu   sync.Mutex
	seen map[[16]byte]bool
	cut  int
}

// uuidClients starts one client of uuidd, which answers one at a time.
func uuidClients(t *testing.T, m *systemdtest.Machine) clients {
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	l := &uuidLoad{stop: stop, ended: make(chan error, 1), seen: make(map[[16]byte]bool)}
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			err = l.ask(ctx, m)
		}
		l.ended <- err
	}()
	return l
}

// ask speaks uuidd's protocol: an operation of one byte, and a length before the
// answer.
func (l *uuidLoad) ask(ctx context.Context, m *systemdtest.Machine) error {
	const random = 3
	c, err := m.Dial(ctx, "unix", "/run/uuidd/request")
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(poll.Patience)); err != nil {
		return err
	}
	var length int32
	var id [16]byte
	_, err = c.Write([]byte{random})
	if err == nil {
		err = binary.Read(c, binary.NativeEndian, &length)
	}
	if err == nil {
		_, err = io.ReadFull(c, id[:])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil: // it ends at once when it is told to
		l.cut++
	case length != int32(len(id)) || l.seen[id]:
		return fmt.Errorf("an answer of %d bytes, %x", length, id)
	default:
		l.seen[id] = true
	}
	return nil
}

func (l *uuidLoad) answered() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.seen))
}

func (l *uuidLoad) done() error {
	l.stop()
	if err := <-l.ended; err != nil {
		return err
	}
	if l.cut > 12 { // at most what was under way, at each of six replacements
		return errors.New(fmt.Sprint(l.cut, " connections were cut"))
	}
	return nil
}
