package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast-go/holdfast/handoff"
)

// What a client sends in the tests of this file, and what it hears then.
var (
	said  = sent(part(ws.OpText, false, "he"), ws.NewPingFrame([]byte("p")), part(ws.OpContinuation, true, "llo"), text("/who"))
	heard = []ws.Frame{ws.NewPongFrame([]byte("p")), text("alice: hello"), text("* here: alice")}
)

// Wherever the client is in what it sends, it can go on with the next generation.
func TestCarryAtAnyByteRead(t *testing.T) {
	for cut := range said {
		synctest.Test(t, func(t *testing.T) {
			g := newGeneration(t)
			alice := g.connect(t, "alice")
			alice.send(t, said[:cut])
			synctest.Wait()
			state := alice.carried(t, g) // and what was to be answered has not been read
			g.next(t).goOn(alice, state)
			go alice.Write(said[cut:])
			alice.expect(t, heard...)
		})
	}
}

// Wherever the client is in what it reads, it can go on with the next generation.
func TestCarryAtAnyByteWritten(t *testing.T) {
	var want []byte
	for _, f := range heard {
		want = append(want, ws.MustCompileFrame(f)...)
	}
	for cut := range want {
		synctest.Test(t, func(t *testing.T) {
			g := newGeneration(t)
			alice := g.connect(t, "alice")
			alice.send(t, said)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(alice, got[:cut]); err != nil {
				t.Fatal(err)
			}
			state := alice.carried(t, g)
			g.next(t).goOn(alice, state)
			if _, err := io.ReadFull(alice, got[cut:]); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("cut at %d: got %q, want %q", cut, got, want)
			}
		})
	}
}

// A room hears what is said until the last of its connections has come to rest.
func TestSaidToThoseAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		bob := g.connect(t, "bob")
		alice.expect(t, text("* bob joined"))
		states := [][]byte{alice.carried(t, g)}
		g.hub.say(g.hub.rooms["room"][1], "are you there?")
		states = append(states, bob.carried(t, g))

		n := g.next(t)
		n.goOn(bob, states[1])
		bob.expect(t, text("bob: are you there?"))
		bob.send(t, sent(text("/who"), text("hello?")))
		bob.expect(t, text("* here: alice, bob"), text("bob: hello?"))
		n.goOn(alice, states[0]) // comes last
		alice.expect(t, text("bob: are you there?"), text("bob: hello?"))
	})
}

// Goodbye has been said, and is on its way.
func TestCarryAfterGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		alice.send(t, sent(ws.NewBinaryFrame([]byte("what is this"))))
		synctest.Wait()
		state := alice.carried(t, g)
		n := g.next(t)
		n.goOn(alice, state)
		alice.expect(t, bye(ws.StatusUnsupportedData, "lines are text messages"))
		alice.Close()
		if e := <-alice.ended; !errors.Is(e.err, io.EOF) {
			t.Errorf("it ended with %v, want EOF", e.err)
		}
		if len(n.hub.members) > 0 {
			t.Error("the member is still there")
		}
	})
}

func TestNoSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		g.drain(errors.Join(handoff.ErrDraining, handoff.ErrNoSuccessor))
		alice.server.SetReadDeadline(time.Unix(1, 0))
		alice.expect(t, bye(ws.StatusGoingAway, "the service ends"))
		if e := <-alice.ended; e.err != nil {
			t.Errorf("serve returned %v, want nil", e.err)
		}
	})
}

// A generation that drains before the rooms have come to it leaves the
// connection as it got it.
func TestDrainBeforeRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		state := alice.carried(t, g)
		n := newGeneration(t)
		n.owned = make(chan struct{}) // and it stays open
		n.goOn(alice, state)
		if again := alice.carried(t, n); !bytes.Equal(again, state) {
			t.Errorf("got %q, want %q", again, state)
		}
	})
}

func TestForeignConnection(t *testing.T) {
	g := newGeneration(t)
	if carry, err := g.serve(g.ctx, nil, nil); !errors.Is(err, errPosition) || carry != nil {
		t.Errorf("without a position: got %q and error %v, want errPosition", carry, err)
	}
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		alice.send(t, sent(ws.NewPingFrame(nil)))
		synctest.Wait()
		state := alice.carried(t, g)
		lost := newGeneration(t) // which has not got the rooms
		lost.goOn(alice, state)
		alice.expect(t, ws.NewPongFrame(nil)) // was on its way
		alice.expect(t, bye(serviceRestart, "the room was lost"))
		if e := <-alice.ended; e.err == nil || errors.Is(e.err, handoff.ErrCarry) {
			t.Errorf("serve returned %v, want an error", e.err)
		}
	})
}

// A member whose connection does not come is given up after a while.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		bob := g.connect(t, "bob")
		alice.expect(t, text("* bob joined"))
		bob.carried(t, g)
		state := alice.carried(t, g)

		n := g.next(t)
		n.goOn(alice, state)
		go n.sweep(n.ctx)
		f, err := ws.ReadFrame(alice)
		for err == nil && f.Header.OpCode == ws.OpPing { // meanwhile alice is silent
			f, err = ws.ReadFrame(alice)
		}
		if err != nil || string(f.Payload) != "* bob left" {
			t.Errorf("alice heard %q and error %v, want that bob left", f.Payload, err)
		}
		synctest.Wait()
		if nicks := n.hub.who("room"); !slices.Equal(nicks, []string{"alice"}) {
			t.Errorf("in the room are %q, want alice alone", nicks)
		}
	})
}
