package handoff

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// kindBaton is of no use, and all that it takes to add a kind that crosses in a
// parcel: this file, and a registration.
const kindBaton = "baton"

// A baton is a pipe that goes from generation to generation, in which each adds a byte.
type baton struct {
	env  *resource.Env
	r, w *os.File
	laps int // bytes that came with it
}

var _ interface {
	resource.Resource
	resource.Adopter
	resource.Saver
} = (*baton)(nil)

// takeBaton adds a baton to the service.
func takeBaton(s *Service) error {
	return s.change(func(p *parts) error {
		b := &baton{env: &s.env}
		p.resources.Add(b)
		p.resources.Route(kindBaton, "relay", b)
		return nil
	})
}

func (b *baton) Start(*resource.Period) {}

func (b *baton) StopAccepting(bool) {}

func (b *baton) Drain(context.Context, *resource.Period) error { return nil }

func (b *baton) Needs() resource.Needs { return resource.Needs{Entries: 1} }

func (b *baton) String() string { return "baton" }

func (b *baton) Judge(protocol.Entry) protocol.Fate { return protocol.Take }

func (b *baton) Adopt(_ context.Context, e protocol.Entry, it *parcel.Item) error {
	defer it.Close()
	var err error
	if b.r, err = it.File(0); err != nil {
		return err
	}
	if b.w, err = it.File(1); err != nil {
		return err
	}
	if b.laps, err = strconv.Atoi(string(e.Data)); err != nil {
		return err
	}
	got := make([]byte, b.laps)
	if _, err := io.ReadFull(b.r, got); err != nil {
		return err
	}
	fmt.Printf("baton after %d laps: %s\n", b.laps, got)
	_, err = b.w.Write(got)
	return err
}

func (b *baton) Save(context.Context) (e parcel.Entry, ok bool, err error) {
	if b.w == nil {
		if b.r, b.w, err = os.Pipe(); err != nil {
			return e, true, err
		}
	}
	b.laps++
	if _, err := b.w.Write([]byte("x")); err != nil {
		return e, true, err
	}
	return parcel.Entry{
		Kind:        kindBaton,
		Name:        "relay",
		Payload:     b.env.Payload(protocol.Record{Data: strconv.AppendInt(nil, int64(b.laps), 10)}),
		Descriptors: []syscall.Conn{b.r, b.w},
	}, true, nil
}

func (b *baton) Resume(context.Context) error { return nil }

// TestToyKind: a kind that nothing but its own file and its registration knows crosses
// restarts and reloads, and waits for a generation that knows it.
func TestToyKind(t *testing.T) {
	with, without := appConfig{Echo: inherited, Baton: true}, appConfig{Echo: inherited, KeepConns: time.Hour}
	bothWays(t, func(t *testing.T, m *manager) {
		m.listen("echo", "tcp", "127.0.0.1:0")
		g := m.start(with)
		for lap := 1; lap <= 3; lap++ {
			g = m.replace(g, with)
			g.printed(fmt.Sprintf("baton after %d laps: %s", lap, "xxx"[:lap]))
		}
		g.stop()
	})
	t.Run("kept", func(t *testing.T) {
		m := newManager(t)
		m.listen("echo", "tcp", "127.0.0.1:0")
		g := m.start(with)
		g = m.restart(g, without)
		m.holds(protocol.ManifestPrefix, protocol.ParcelPrefix)
		g = m.restart(g, with)
		g.printed("baton after 1 laps: x")
		g.stop()
	})
}
