package handoff

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

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
	// A parcel is one generation's: two would take out of it what is the other's.
	holder   *generation
	delivery uint64 // 0: inherited
}

func (s *stored) isParcel() bool { return strings.HasPrefix(s.name, protocol.ParcelPrefix) }

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
		// A busy machine may keep datagrams waiting for seconds. Without root the queue
		// stays as short as it is.
		control(f, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) })
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
		if s.isParcel() {
			if m.overlap && m.current != nil || s.holder != nil {
				continue
			}
			s.holder = g
		}
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

// act keeps and drops what the generation asks for.
func (m *manager) act(g *generation, n *notify.Notification) {
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
			m.store = append(m.store, &stored{name: name, file: f})
		}
		if g != m.current {
			m.deliver()
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

// deliver passes the parcels that nobody has on to the generation that serves.
func (m *manager) deliver() {
	if !m.overlap || m.current == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	for _, s := range m.store {
		if !s.isParcel() || s.holder != nil {
			continue
		}
		id, err := m.current.deliverer.Deliver(ctx, s.name, s.file)
		if err != nil {
			return // it has gone; the next one inherits them
		}
		s.holder, s.delivery = m.current, id
	}
}

// reclaim takes back what a generation has not taken that has ended, or released.
func (m *manager) reclaim(g *generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == g {
		m.current = nil
	}
	m.takeBack(g)
}

// takeBack has what g has not taken go to whom it may concern.
func (m *manager) takeBack(g *generation) {
	for _, s := range m.store {
		if s.holder == g {
			s.holder, s.delivery = nil, 0
		}
	}
	m.deliver()
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
	m.deliver()
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
		for _, prefix := range []string{protocol.ParcelPrefix, protocol.ManifestPrefix} {
			if strings.HasPrefix(name, prefix) {
				name = prefix
			}
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

// holds waits until the store holds exactly that, as stored names it.
func (m *manager) holds(want ...string) {
	m.t.Helper()
	poll.UntilEqual(m.t, "what is in the store", want, m.stored)
}
