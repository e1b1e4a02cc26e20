package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// keepsHelper asks several times whether there is a store, with every CPU busy,
// and tells in its status how often there is.
func keepsHelper(args []string) error {
	times, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	n, err := managed()
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	for range runtime.NumCPU() {
		go func() {
			for ctx.Err() == nil {
			}
		}()
	}
	kept := 0
	var longest time.Duration
	for range times {
		began := time.Now()
		keeps, err := n.Keeps(ctx)
		if err != nil {
			return err
		}
		longest = max(longest, time.Since(began))
		if keeps {
			kept++
		}
	}
	fmt.Fprintf(os.Stderr, "the longest of %d took %v\n", times, longest)
	return errors.Join(n.Send(ctx, notify.Status(fmt.Sprintf("%d of %d", kept, times)), notify.Ready()), n.Barrier(ctx))
}

// What the manager does not keep it closes later than it answers a barrier.
func TestKeepsUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, c := range []struct {
			limit, times int
			want         string
		}{
			{0, 100, "0 of 100"},
			{1, 2, "2 of 2"}, // removed each time, or there would be no room for the second
		} {
			name := fmt.Sprintf("keeps%d.service", c.limit)
			m.InstallUnit(name, unit("keeps", []string{strconv.Itoa(c.times)}, "Type=notify", "RemainAfterExit=yes",
				fmt.Sprintf("FileDescriptorStoreMax=%d", c.limit)))
			m.Systemctl("start", name)
			if got := m.Property(name, "StatusText"); got != c.want {
				t.Errorf("with FileDescriptorStoreMax=%d: kept %s, want %s", c.limit, got, c.want)
			}
			if left := m.Property(name, "NFileDescriptorStore"); left != "0" {
				t.Errorf("with FileDescriptorStoreMax=%d: %s entries are left", c.limit, left)
			}
			t.Log(m.Journal("-u", name, "-t", "notify.test"))
		}
	})
}

func TestKeeps(t *testing.T) {
	leaktest.Check(t)
	var nobody *notify.Notifier
	if keeps, err := nobody.Keeps(limited(t)); keeps || err != nil {
		t.Errorf("without a manager: %v, %v", keeps, err)
	}
	for _, c := range []struct {
		environ string
		full    bool
		want    bool
	}{
		{"FDSTORE=3", true, true}, // it is not tried
		{"FDSTORE=0", false, false},
		{"", false, true},
		{"", true, false},
	} {
		m := notifytest.Options{StoreMax: 1}.New(t)
		n := open(t, m.Socket(), c.environ)
		left := 0
		if c.full {
			left = 1
			if err := n.Store(limited(t), "other", memfd(t, "")); err != nil {
				t.Fatal(err)
			}
		}
		if keeps, err := n.Keeps(limited(t)); keeps != c.want || err != nil {
			t.Errorf("%q, full %v: %v, %v, want %v", c.environ, c.full, keeps, err, c.want)
		}
		if err := n.Barrier(limited(t)); err != nil {
			t.Fatal(err)
		}
		if got := m.Stored(); len(got) != left {
			t.Errorf("%q, full %v: %v is left", c.environ, c.full, got)
		}
	}
	m := notifytest.New(t)
	n := open(t, m.Socket())
	ctx, cancel := context.WithCancel(limited(t))
	cancel()
	if _, err := n.Keeps(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
	n.Close()
	if _, err := n.Keeps(limited(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
