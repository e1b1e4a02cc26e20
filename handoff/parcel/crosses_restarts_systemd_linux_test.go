package parcel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func init() { helpers["service"] = helpService }

const serviceUnit = `[Unit]
Description=keeps sockets across its restarts

[Service]
Type=notify
ExecStart=/usr/local/bin/service
Environment=` + helpertest.Variable + `=service N=%d FDPOLL=%s
FileDescriptorStoreMax=2
LimitNOFILE=20000
%s
`

// TestAcrossRestarts leaves thousands of connected sockets in one entry of the
// manager's fd store, restart after restart.
func TestAcrossRestarts(t *testing.T) {
	const n = 3000 // connections, of which the service has both sides
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/service", systemdtest.BuildTest(t), 0o755)
		for name, sandbox := range map[string]string{
			"root":    "",
			"dynamic": "DynamicUser=yes\nNoNewPrivileges=yes\nProtectSystem=strict\nMemoryDenyWriteExecute=yes\nRestrictAddressFamilies=AF_UNIX AF_INET",
		} {
			unit := name + ".service"
			m.InstallUnit(unit, fmt.Sprintf(serviceUnit, n, "0", sandbox))
			m.Systemctl("start", unit)
			want := "made"
			for run := range 4 {
				if got := m.Property(unit, "StatusText"); got != want {
					t.Fatalf("%s, run %d: the service says %q, want %q\n%s", name, run, got, want, m.Journal("-u", unit))
				}
				m.Systemctl("restart", unit)
				want = fmt.Sprintf("%d connections are alive", n)
				if got := m.Property(unit, "NFileDescriptorStore"); got != "1" {
					t.Errorf("%s, run %d: %s entries in the store, want 1", name, run, got)
				}
			}
			m.Systemctl("stop", unit)
		}
	})
}

// TestStoreEvicts shows what FDPOLL=0 is for: the writer hangs the parcel up when
// it exits, and the manager drops what is hung up.
func TestStoreEvicts(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/service", systemdtest.BuildTest(t), 0o755)
		m.InstallUnit("keep.service", fmt.Sprintf(serviceUnit, 10, "1", ""))
		m.Systemctl("start", "keep.service")
		m.Systemctl("restart", "keep.service")
		if got := m.Property("keep.service", "StatusText"); got != "made" {
			t.Errorf("the service says %q: without FDPOLL=0 the parcel was expected to be lost", got)
		}
	})
}

// helpService keeps N connections. It takes them out of the parcel that the run
// before left, or makes them, and leaves them in a parcel when told to stop.
func helpService([]string) error {
	ctx := context.Background()
	n, err := strconv.Atoi(os.Getenv("N"))
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	manager, err := notify.Open()
	if err != nil {
		return err
	}
	set, err := activation.Inherit()
	if err != nil {
		return err
	}
	status := "made"
	var pairs [][2]net.Conn
	if slices.Contains(set.Names(), "conns") {
		var files []*os.File
		if files, err = set.Files("conns"); err != nil {
			return err
		}
		pairs, err = takePairs(ctx, files[0])
		status = fmt.Sprintf("%d connections are alive", len(pairs))
	} else {
		pairs, err = makePairs(n)
	}
	if err != nil {
		return err
	}
	for i, p := range pairs {
		if err := alive(p, fmt.Sprint("hello from ", i)); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	if err := manager.Send(ctx, notify.Ready(), notify.Status(status)); err != nil {
		return err
	}
	<-stop
	return leavePairs(ctx, manager, pairs)
}

func makePairs(n int) (pairs [][2]net.Conn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	for range n {
		a, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return nil, err
		}
		b, err := ln.Accept()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]net.Conn{a, b})
	}
	return pairs, nil
}

// alive sends a message from each side to the other.
func alive(p [2]net.Conn, text string) error {
	for i := range p {
		p[i].SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(p[i], text); err != nil {
			return err
		}
		b := make([]byte, len(text))
		if _, err := io.ReadFull(p[1-i], b); err != nil || string(b) != text {
			return fmt.Errorf("read %q: %w", b, err)
		}
	}
	return nil
}

func takePairs(ctx context.Context, f *os.File) (pairs [][2]net.Conn, err error) {
	defer f.Close()
	r, err := NewReader(f, ReaderOptions{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	found, err := r.Peek(func(kind, name string, payload []byte) error {
		if kind != "pair" || string(payload) != "payload of "+name {
			return fmt.Errorf("with %d bytes", len(payload))
		}
		return nil
	})
	if err != nil || !found.Complete {
		return nil, fmt.Errorf("peek: %+v, %w", found, err)
	}
	for {
		items, err := r.Receive(ctx)
		if err == io.EOF {
			return pairs, nil
		}
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			a, err := it.Conn(0)
			if err != nil {
				return nil, err
			}
			b, err := it.NetConn(1)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, [2]net.Conn{a, b})
		}
	}
}

func leavePairs(ctx context.Context, manager *notify.Notifier, pairs [][2]net.Conn) error {
	w, f, err := New(WriterOptions{})
	if err != nil {
		return err
	}
	defer f.Close()
	for i, p := range pairs {
		name := fmt.Sprint(i)
		e := Entry{Kind: "pair", Name: name, Payload: []byte("payload of " + name)}
		for _, c := range p {
			e.Descriptors = append(e.Descriptors, c.(syscall.Conn))
		}
		if err := w.Put(ctx, e); err != nil {
			return err
		}
	}
	if err := w.Close(ctx); err != nil {
		return err
	}
	store := manager.Store
	if os.Getenv("FDPOLL") == "0" {
		store = manager.StoreUnpolled
	}
	// What is stored has to leave first: names are not unique.
	return errors.Join(manager.Remove(ctx, "conns"), store(ctx, "conns", f), manager.Barrier(ctx))
}
