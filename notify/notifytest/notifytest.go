// Package notifytest has a manager for tests: it takes what a service under test
// sends to NOTIFY_SOCKET, records it, and keeps stored descriptors as systemd
// would.
//
//	func TestServe(t *testing.T) {
//		m := notifytest.New(t)
//		m.Setenv()
//		go serve() // calls notify.Open
//		m.WaitFor(ctx, "READY=1")
//	}
//
// On systems other than Linux the test is skipped.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
)

// Options make the manager behave in other ways. The zero value reads all the
// time, stores without a limit, and asks for no signs of life.
type Options struct {
	// Silent has the manager never read, as one that hangs: its queue fills.
	Silent bool
	// StoreMax is FileDescriptorStoreMax=. 0 is no limit, and FDSTORE is then
	// not set.
	StoreMax int
	// Watchdog is WatchdogSec=. Missed pings have no consequence.
	Watchdog time.Duration
}

// A Manager receives the messages of the service under test.
type Manager struct {
	t        testing.TB
	options  Options
	receiver *notify.Receiver

	mu       sync.Mutex
	messages []notify.Message
	store    store
	refused  []error
	changed  chan struct{} // closed and replaced with every message
}

// New starts a manager, which ends with the test.
func New(t testing.TB) *Manager {
	t.Helper()
	return Options{}.New(t)
}

// New starts a manager with options, which ends with the test.
func (o Options) New(t testing.TB) *Manager {
	t.Helper()
	// The folder of t.TempDir may be too deep for a socket's path.
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatalf("notifytest: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := notify.Listen(filepath.Join(dir, "socket"))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("notifytest: this system has no notification protocol: %v", err)
	}
	if err != nil {
		t.Fatalf("notifytest: %v", err)
	}
	m := &Manager{t: t, options: o, receiver: r, changed: make(chan struct{})}
	m.store.max = o.StoreMax
	var reader sync.WaitGroup
	if !o.Silent {
		reader.Go(m.read)
	}
	t.Cleanup(func() {
		r.Close()
		reader.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.store.close()
	})
	return m
}

// read takes messages until the receiver is closed.
func (m *Manager) read() {
	for {
		n, err := m.receiver.Receive(context.Background())
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m.mu.Lock()
		if err != nil {
			m.refused = append(m.refused, err)
		} else {
			m.take(n)
		}
		close(m.changed)
		m.changed = make(chan struct{})
		m.mu.Unlock()
		if err != nil && !errors.Is(err, notify.ErrRefused) {
			return // the socket is broken; WaitFor says so
		}
	}
}

// take records a message and does what it asks of the store.
func (m *Manager) take(n *notify.Notification) {
	defer n.Close() // answers a barrier, after what came before it
	if n.Barrier() {
		return
	}
	m.messages = append(m.messages, n.Message)
	m.store.apply(n)
}

// Socket returns the value for NOTIFY_SOCKET.
func (m *Manager) Socket() string { return m.receiver.Addr() }

// Environ returns the variables that the manager gives to the process pid, as
// KEY=VALUE.
func (m *Manager) Environ(pid int) []string {
	env := []string{"NOTIFY_SOCKET=" + m.Socket()}
	if m.options.StoreMax > 0 {
		env = append(env, "FDSTORE="+strconv.Itoa(m.options.StoreMax))
	}
	if m.options.Watchdog > 0 {
		env = append(env,
			"WATCHDOG_USEC="+strconv.FormatInt(m.options.Watchdog.Microseconds(), 10),
			"WATCHDOG_PID="+strconv.Itoa(pid))
	}
	return env
}

// Setenv puts the manager's variables into the environment of this process, for
// the rest of the test.
func (m *Manager) Setenv() {
	m.t.Helper()
	for _, assignment := range m.Environ(os.Getpid()) {
		key, value, _ := strings.Cut(assignment, "=")
		m.t.Setenv(key, value)
	}
}

// Messages returns what came since New or Reset, in order, without barriers.
func (m *Manager) Messages() []notify.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// Refused returns the errors of the messages that broke the protocol and were
// thrown away, since New or Reset.
func (m *Manager) Refused() []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.refused)
}

// Reset forgets the messages so far. The store stays as it is.
func (m *Manager) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages, m.refused = nil, nil
}

// Stored returns the descriptors that the store holds now, by name, in the order
// in which they came. They belong to the manager, which closes them when they are
// removed or dropped, and when the test ends.
func (m *Manager) Stored() map[string][]*os.File {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.byName()
}

// WaitFor returns the first message since New or Reset that holds assignment,
// such as "READY=1", and waits for it if it has not come. When ctx ends first
// the test fails, with the messages that came. Call it from the goroutine of the
// test.
func (m *Manager) WaitFor(ctx context.Context, assignment string) notify.Message {
	m.t.Helper()
	msg, err := m.waitFor(ctx, assignment)
	if err != nil {
		m.t.Fatalf("notifytest: %v", err)
	}
	return msg
}

func (m *Manager) waitFor(ctx context.Context, assignment string) (notify.Message, error) {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return nil, fmt.Errorf("wait for %q: it is no assignment KEY=VALUE", assignment)
	}
	for {
		m.mu.Lock()
		messages, refused, changed := m.messages, m.refused, m.changed
		m.mu.Unlock()
		for _, msg := range messages {
			if msg.Has(key, value) {
				return msg, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no %q came: %w; messages: %q, refused: %v", assignment, ctx.Err(), messages, refused)
		}
	}
}
