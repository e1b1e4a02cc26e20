package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// storeMax is room for wantStored, and for what hangs up only after that.
const storeMax = 7

// fillStore stores what TestStoreUnderSystemd looks for, and everything that the manager
// is to refuse, ignore, replace or drop.
func fillStore(ctx context.Context, n *notify.Notifier) error {
	memory, err := newMemfd("from the first run")
	if err != nil {
		return err
	}
	client, server, err := connectedTCP()
	if err != nil {
		return err
	}
	gone, err := newMemfd("removed")
	if err != nil {
		return err
	}
	brokenRead, brokenWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	keptRead, keptWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	over, err := newMemfd("over")
	if err != nil {
		return err
	}
	err = errors.Join(
		n.Store(ctx, "memory", memory),
		n.Store(ctx, "again", memory), // the same open file
		n.Store(ctx, "client", client),
		n.Store(ctx, `a name \ ~`, server),
		n.Store(ctx, "gone", gone, brokenRead),
		n.Remove(ctx, "gone"),
		n.Remove(ctx, "never stored"),
		n.Store(ctx, "broken", brokenRead),
		n.StoreUnpolled(ctx, "kept", keptRead),
		keptWrite.Close(),
		n.Barrier(ctx),
	)
	if err != nil {
		return err
	}
	// Two places are left: the third is one too many.
	for range 3 {
		f, dupErr := newMemfd("filler")
		if dupErr != nil {
			return dupErr
		}
		err = errors.Join(err, n.Store(ctx, "filler", f))
	}
	// Last, since the manager drops it in its own time, later than a barrier.
	return errors.Join(err, n.Store(ctx, "over", over), n.Barrier(ctx), brokenWrite.Close())
}

// wantStored is what remains of that, sorted.
var wantStored = []string{`a name \ ~`, "client", "filler", "filler", "kept", "memory"}

func newMemfd(content string) (*os.File, error) {
	fd, err := unix.MemfdCreate("holdfast", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), content)
	_, err = f.WriteString(content)
	return f, err
}

func connectedTCP() (client, server *net.TCPConn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	s, err := ln.Accept()
	if err != nil {
		return nil, nil, err
	}
	return c.(*net.TCPConn), s.(*net.TCPConn), nil
}

// storeHelper stores on its first run, and on the second tells in its status
// what came back.
func storeHelper([]string) error {
	done := make(chan os.Signal, 1)
	signal.Notify(done, unix.SIGTERM)
	inherited := activation.Files(true)
	n, err := managed()
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	var status string
	if len(inherited) == 0 {
		limit, known := n.StoreLimit()
		status = fmt.Sprintf("limit %d %v", limit, known)
		err = fillStore(ctx, n)
	} else {
		status, err = inspect(inherited)
	}
	if err != nil {
		return err
	}
	if err := n.Send(ctx, notify.Status(status), notify.Ready()); err != nil {
		return err
	}
	<-done
	return nil
}

// inspect uses what came back: the memory's content, and the connection from one
// end to the other.
func inspect(files []*os.File) (string, error) {
	byName := map[string]*os.File{}
	var names []string
	for _, f := range files {
		byName[f.Name()] = f
		names = append(names, f.Name())
	}
	slices.Sort(names)
	if !slices.Equal(names, wantStored) {
		return "", fmt.Errorf("inherited %q, want %q", names, wantStored)
	}
	content := make([]byte, 100)
	k, err := byName["memory"].ReadAt(content, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	client, err := net.FileConn(byName["client"])
	if err != nil {
		return "", err
	}
	server, err := net.FileConn(byName[`a name \ ~`])
	if err != nil {
		return "", err
	}
	if _, err := client.Write([]byte("across")); err != nil {
		return "", err
	}
	client.Close()
	byName["client"].Close()
	said := make([]byte, len("across"))
	if _, err := io.ReadFull(server, said); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s, %s", strings.Join(names, "|"), content[:k], said), nil
}

func TestStoreUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("store.service", unit("store", nil, "Type=notify", fmt.Sprint("FileDescriptorStoreMax=", storeMax)))
		m.Systemctl("start", "store.service")
		want := "limit 0 false"
		if m.Version() >= 254 {
			want = fmt.Sprintf("limit %d true", storeMax)
		}
		if got := m.Property("store.service", "StatusText"); got != want {
			t.Errorf("the first run says %q, want %q", got, want)
		}
		await(t, m, "store.service", "NFileDescriptorStore", fmt.Sprint(len(wantStored)))
		m.Systemctl("daemon-reload")
		m.Systemctl("restart", "store.service")
		want = strings.Join(wantStored, "|") + ", from the first run, across"
		if got := m.Property("store.service", "StatusText"); got != want {
			t.Errorf("the second run says %q, want %q", got, want)
		}
	})
}

// The store of notifytest ends up as systemd's does.
func TestManagerForTestsStoresTheSame(t *testing.T) {
	m := notifytest.Options{StoreMax: storeMax}.New(t)
	if err := fillStore(limited(t), open(t, m.Socket())); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, files := range m.Stored() {
		for range files {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, wantStored) {
		t.Errorf("stored %q, want %q", names, wantStored)
	}
}

func TestStoreWithoutRoomUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("none.service", unit("flash", []string{"1"}, "Type=notify", "RemainAfterExit=yes"))
		m.Systemctl("start", "none.service") // succeeds, and says nothing
		if got := m.Property("none.service", "NFileDescriptorStore"); got != "0" {
			t.Errorf("%s stored without FileDescriptorStoreMax=, want 0", got)
		}
	})
}
