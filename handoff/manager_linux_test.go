package handoff

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// patience bounds every wait of these tests: a loaded machine is slow.
const patience = 60 * time.Second

// A manager plays systemd (a restart: the old generation stops, then the new one
// starts) and handoffd (a reload: the new one starts, then the old one drains) to
// generations that are processes of their own.
type manager struct {
	t       *testing.T
	dir     string
	overlap bool // give generations a HANDOFF_SOCKET
	limit   int  // entries in the store
	quiet   bool // say nothing of them, as systemd before v254

	mu      sync.Mutex
	sockets []activation.NamedFile
	store   []*stored
	count   int
	current *generation // what is stored goes to
	hear    func(*generation, *notify.Notification)
}

// A stored is an entry of the fd store.
type stored struct {
	name string
	file *os.File
	sent map[*generation]uint64 // deliveries not yet acknowledged
}

func newManager(t *testing.T) *manager {
	t.Helper()
	leaktest.Check(t)
	dir, err := os.MkdirTemp("", "handoff") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, dir: dir, limit: 64}
	t.Cleanup(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range m.store {
			s.file.Close()
		}
		for _, s := range m.sockets {
			s.File.Close()
		}
		os.RemoveAll(dir)
	})
	return m
}

// listen makes a socket of the socket unit, and returns its address.
func (m *manager) listen(name, network, address string) string {
	m.t.Helper()
	var f *os.File
	var addr net.Addr
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			m.t.Fatal(err)
		}
		defer c.Close()
		addr = c.LocalAddr()
		if f, err = c.(*net.UDPConn).File(); err != nil {
			m.t.Fatal(err)
		}
	} else {
		ln, err := net.Listen(network, address)
		if err != nil {
			m.t.Fatal(err)
		}
		addr = ln.Addr()
		switch ln := ln.(type) {
		case *net.TCPListener:
			f, err = ln.File()
		case *net.UnixListener:
			ln.SetUnlinkOnClose(false)
			f, err = ln.File()
		}
		ln.Close()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	m.sockets = append(m.sockets, activation.NamedFile{Name: name, File: f})
	return addr.String()
}

// A generation is a process that the manager has started.
type generation struct {
	m         *manager
	number    int
	cmd       *exec.Cmd
	receiver  *notify.Receiver
	deliverer *parcel.Deliverer // nil across a restart
	out       output
	end       context.CancelFunc
	tasks     sync.WaitGroup
	exited    chan struct{}
	err       error // of its exit

	mu    sync.Mutex
	heard []string // every assignment, in order
	news  chan struct{}
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// spawn starts a generation of the app with that configuration.
func (m *manager) spawn(app appConfig) *generation {
	m.t.Helper()
	config, err := json.Marshal(app)
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	m.count++
	number := m.count
	m.mu.Unlock()

	ctx, end := context.WithCancel(context.Background())
	g := &generation{m: m, number: number, end: end, exited: make(chan struct{}), news: make(chan struct{})}
	if g.receiver, err = notify.Listen(filepath.Join(m.dir, fmt.Sprintf("notify%d", number))); err != nil {
		m.t.Fatal(err)
	}
	g.cmd = helpertest.Command(m.t, "app")
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.out
	g.cmd.Env = append(g.cmd.Env, "APP="+string(config), "NOTIFY_SOCKET="+g.receiver.Addr(),
		"GORACE=atexit_sleep_ms=0") // else each generation takes a second to exit
	if !m.quiet {
		g.cmd.Env = append(g.cmd.Env, "FDSTORE="+strconv.Itoa(m.limit))
	}
	m.mu.Lock() // nothing is dropped from the store until the generation has it
	defer m.mu.Unlock()
	files := slices.Clone(m.sockets)
	for _, s := range m.store {
		files = append(files, activation.NamedFile{Name: s.name, File: s.file})
	}
	if m.overlap {
		d, child, err := parcel.NewDeliverer()
		if err != nil {
			m.t.Fatal(err)
		}
		defer child.Close()
		g.deliverer = d
		g.cmd.Env = append(g.cmd.Env, "HANDOFF_GENERATION="+strconv.Itoa(number), "HANDOFF_SOCKET="+strconv.Itoa(3+len(files)))
		g.cmd.ExtraFiles = append(g.cmd.ExtraFiles, child)
		g.tasks.Go(func() { g.acknowledge(ctx) })
	}
	if err := activation.Start(ctx, g.cmd, files...); err != nil {
		m.t.Fatal(err)
	}
	g.tasks.Go(func() { g.listen(ctx) })
	go func() {
		g.err = g.cmd.Wait()
		close(g.exited)
	}()
	m.t.Cleanup(func() {
		g.cmd.Process.Kill()
		<-g.exited
		g.close()
		if m.t.Failed() {
			m.t.Logf("generation %d said:\n%s%s", number, g.out.String(), strings.Join(g.said(), " "))
		}
	})
	return g
}

// close ends what listens to the generation.
func (g *generation) close() {
	g.end()
	g.tasks.Wait()
	g.receiver.Close()
	if g.deliverer != nil {
		g.deliverer.Close()
	}
}

// listen answers what the generation sends, as systemd does.
func (g *generation) listen(ctx context.Context) {
	for {
		n, err := g.receiver.Receive(ctx)
		if errors.Is(err, notify.ErrRefused) {
			g.m.t.Errorf("generation %d: %v", g.number, err)
			continue
		}
		if err != nil {
			return
		}
		g.m.mu.Lock()
		hear := g.m.hear
		g.m.mu.Unlock()
		if hear != nil {
			hear(g, n)
		}
		g.m.act(ctx, g, n)
		g.mu.Lock()
		for _, f := range n.Message {
			g.heard = append(g.heard, f.Key+"="+f.Value)
		}
		close(g.news)
		g.news = make(chan struct{})
		g.mu.Unlock()
		n.Close()
	}
}

// act keeps and drops what the generation asks for.
func (m *manager) act(ctx context.Context, g *generation, n *notify.Notification) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := n.Message.FDName()
	switch {
	case n.Message.Has("FDSTOREREMOVE", "1"):
		m.drop(func(s *stored) bool { return s.name == name })
	case n.Message.Has("FDSTORE", "1"):
		for _, f := range n.Take() {
			if len(m.store) >= m.limit {
				f.Close()
				continue
			}
			s := &stored{name: name, file: f, sent: make(map[*generation]uint64)}
			m.store = append(m.store, s)
			if m.overlap && m.current != nil && m.current != g {
				m.deliver(ctx, m.current, s)
			}
		}
	}
}

// listenIn has hear called before each message is acted on.
func (m *manager) listenIn(hear func(*generation, *notify.Notification)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hear = hear
}

// drop removes entries of the store.
func (m *manager) drop(match func(*stored) bool) {
	m.store = slices.DeleteFunc(m.store, func(s *stored) bool {
		if !match(s) {
			return false
		}
		s.file.Close()
		return true
	})
}

func (m *manager) deliver(ctx context.Context, g *generation, s *stored) {
	id, err := g.deliverer.Deliver(ctx, s.name, s.file)
	if err != nil {
		return // it has gone; the next one inherits it
	}
	s.sent[g] = id
}

// acknowledge drops from the store what the generation has taken.
func (g *generation) acknowledge(ctx context.Context) {
	for {
		id, err := g.deliverer.Next(ctx)
		if err != nil {
			return
		}
		g.m.mu.Lock()
		g.m.drop(func(s *stored) bool { return s.sent[g] == id })
		g.m.mu.Unlock()
	}
}

func (g *generation) said() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.heard)
}

// await waits until the generation has said an assignment that begins so, n times.
func (g *generation) await(prefix string, n int) {
	g.m.t.Helper()
	deadline := time.After(patience)
	for {
		g.mu.Lock()
		count := 0
		for _, s := range g.heard {
			if strings.HasPrefix(s, prefix) {
				count++
			}
		}
		news := g.news
		g.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-news:
		case <-g.exited:
			g.m.t.Fatalf("generation %d ended (%v) before %d times %q:\n%s", g.number, g.err, n, prefix, g.out.String())
		case <-deadline:
			g.m.t.Fatalf("generation %d has not said %q %d times:\n%s\n%q", g.number, prefix, n, g.out.String(), g.said())
		}
	}
}

func (g *generation) signal(sig os.Signal) {
	g.m.t.Helper()
	if err := g.cmd.Process.Signal(sig); err != nil {
		g.m.t.Fatal(err)
	}
}

// wait waits until the generation has ended, and returns its error.
func (g *generation) wait() error {
	g.m.t.Helper()
	select {
	case <-g.exited:
		return g.err
	case <-time.After(patience):
		g.m.t.Fatalf("generation %d does not end:\n%s", g.number, g.out.String())
		return nil
	}
}

// start starts a generation and waits until it is ready.
func (m *manager) start(app appConfig) *generation {
	m.t.Helper()
	g := m.spawn(app)
	g.await("READY=1", 1)
	m.commit(g)
	if m.overlap {
		g.owned()
	}
	return g
}

// commit makes g the generation that what is stored goes to.
func (m *manager) commit(g *generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = g
}

// owned tells the generation that no other holds anything.
func (g *generation) owned() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.deliverer.Owned(ctx); err != nil {
		g.m.t.Error(err)
	}
}

// stop has the generation drain, and checks that it ends well.
func (g *generation) stop() {
	g.m.t.Helper()
	g.signal(syscall.SIGTERM)
	if err := g.wait(); err != nil {
		g.m.t.Errorf("generation %d ended with %v:\n%s", g.number, err, g.out.String())
	}
	g.close()
}

// restart replaces old as systemd does.
func (m *manager) restart(old *generation, app appConfig) *generation {
	m.t.Helper()
	m.commit(nil)
	old.stop()
	return m.start(app)
}

// reload replaces old as handoffd does.
func (m *manager) reload(old *generation, app appConfig) *generation {
	m.t.Helper()
	g := m.spawn(app)
	g.await("READY=1", 1)
	m.commit(g)
	old.stop()
	g.owned()
	return g
}

// replace replaces old in the way that the manager was made for.
func (m *manager) replace(old *generation, app appConfig) *generation {
	m.t.Helper()
	if m.overlap {
		return m.reload(old, app)
	}
	return m.restart(old, app)
}

// stored names what is in the store, numbers left out.
func (m *manager) stored() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, s := range m.store {
		name := s.name
		if strings.HasPrefix(name, parcelPrefix) {
			name = strings.TrimSuffix(parcelPrefix, ".")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// bothWays runs f for a restart and for a reload.
func bothWays(t *testing.T, f func(t *testing.T, m *manager)) {
	for _, overlap := range []bool{false, true} {
		name := "restart"
		if overlap {
			name = "reload"
		}
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			m.overlap = overlap
			f(t, m)
		})
	}
}

// counters reads what the app has printed at its end.
func (g *generation) counters() Counters {
	g.m.t.Helper()
	for line := range strings.Lines(g.out.String()) {
		if text, ok := strings.CutPrefix(line, "counters "); ok {
			var c Counters
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				g.m.t.Fatal(err)
			}
			return c
		}
	}
	g.m.t.Fatalf("generation %d printed no counters:\n%s", g.number, g.out.String())
	return Counters{}
}

// reported returns what the app was told by Options.Report.
func (g *generation) reported() []string {
	var list []string
	for line := range strings.Lines(g.out.String()) {
		if text, ok := strings.CutPrefix(line, "report "); ok {
			list = append(list, strings.TrimSpace(text))
		}
	}
	return list
}

var _ io.Writer = (*output)(nil)
