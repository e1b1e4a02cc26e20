package resource

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func newTestPacketConn(t *testing.T) (p *packetConn, client net.Conn, owned chan struct{}) {
	t.Helper()
	leaktest.Check(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	owned = make(chan struct{})
	p = newPacketConn("p", c, owned)
	t.Cleanup(func() { p.Close() })
	if client, err = net.Dial("udp", c.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return p, client, owned
}

type datagram struct {
	text string
	err  error
}

func readOne(p *packetConn) <-chan datagram {
	ch := make(chan datagram, 1)
	go func() {
		b := make([]byte, 64)
		n, _, err := p.ReadFrom(b)
		ch <- datagram{string(b[:n]), err}
	}()
	return ch
}

func expect(t *testing.T, ch <-chan datagram, text string, errs ...error) {
	t.Helper()
	select {
	case d := <-ch:
		for _, want := range errs {
			if !errors.Is(d.err, want) {
				t.Errorf("got %v, want %v", d.err, want)
			}
		}
		if d.text != text || len(errs) == 0 && d.err != nil {
			t.Errorf("got %q, %v", d.text, d.err)
		}
	case <-time.After(poll.Patience):
		t.Fatal("ReadFrom does not return")
	}
}

func TestPacketConn(t *testing.T) {
	t.Run("waits until owned", func(t *testing.T) {
		p, client, owned := newTestPacketConn(t)
		client.Write([]byte("a"))
		ch := readOne(p)
		select {
		case <-ch:
			t.Error("read before it was owned")
		case <-time.After(20 * time.Millisecond):
		}
		close(owned)
		expect(t, ch, "a")
		ch = readOne(p)
		client.Write([]byte("b"))
		expect(t, ch, "b")
	})
	t.Run("a deadline ends the wait", func(t *testing.T) {
		p, _, owned := newTestPacketConn(t)
		ch := readOne(p)
		p.SetReadDeadline(time.Now().Add(time.Millisecond))
		expect(t, ch, "", os.ErrDeadlineExceeded)
		close(owned)
		expect(t, readOne(p), "", os.ErrDeadlineExceeded)
		p.SetDeadline(time.Time{})
		ch = readOne(p)
		p.SetReadDeadline(past)
		expect(t, ch, "", os.ErrDeadlineExceeded)
	})
	for _, first := range []bool{true, false} {
		t.Run("drain", func(t *testing.T) {
			p, client, owned := newTestPacketConn(t)
			if first {
				close(owned)
			}
			ch := readOne(p)
			p.drain()
			expect(t, ch, "", report.ErrDraining, net.ErrClosed)
			// A deadline of the program's does not bring reading back.
			p.SetReadDeadline(time.Now().Add(poll.Patience))
			client.Write([]byte("for the next generation"))
			expect(t, readOne(p), "", report.ErrDraining, net.ErrClosed)
			if _, err := p.WriteTo([]byte("answer"), client.LocalAddr()); err != nil {
				t.Error(err)
			}
			b := make([]byte, 64)
			n, err := client.Read(b)
			if err != nil || string(b[:n]) != "answer" {
				t.Errorf("%q, %v", b[:n], err)
			}
		})
	}
	t.Run("close", func(t *testing.T) {
		p, _, _ := newTestPacketConn(t)
		ch := readOne(p)
		p.Close()
		expect(t, ch, "", net.ErrClosed)
	})
	t.Run("options", func(t *testing.T) {
		p, _, _ := newTestPacketConn(t)
		if err := errors.Join(p.SetReadBuffer(1<<16), p.SetWriteBuffer(1<<16)); err != nil {
			t.Error(err)
		}
		var _ syscall.Conn = p
		if _, err := p.SyscallConn(); err != nil {
			t.Error(err)
		}
	})
}
