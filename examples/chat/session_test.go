package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

func TestTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		bob := g.connect(t, "bob")
		alice.expect(t, text("* bob joined"))

		bob.send(t, sent(ws.NewPingFrame([]byte("?")), text("hi"), text("/who")))
		bob.expect(t, ws.NewPongFrame([]byte("?")), text("bob: hi"), text("* here: alice, bob"))
		alice.expect(t, text("bob: hi"))

		bob.send(t, sent(bye(ws.StatusGoingAway, "")))
		bob.expect(t, bye(ws.StatusGoingAway, ""))
		bob.Close()
		if e := <-bob.ended; !errors.Is(e.err, io.EOF) {
			t.Errorf("bob's connection ended with %v, want EOF", e.err)
		}
		alice.expect(t, text("* bob left"))
		alice.Close() // without a word
		<-alice.ended
		if n := len(g.hub.members) + len(g.hub.rooms); n != 0 {
			t.Errorf("%d members and rooms are left, want none", n)
		}
	})
}

func TestWrongInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		alice.send(t, ws.MustCompileFrame(text("unmasked")))
		alice.expect(t, bye(ws.StatusProtocolError, "frames from client to server must be masked"))
		alice.send(t, sent(text("still here"))) // is not heard
		if e := <-alice.ended; !errors.Is(e.err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that stays after goodbye ended with %v, want a timeout", e.err)
		}
	})
}

func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		for range 3 {
			alice.expect(t, ws.NewPingFrame(nil))
			alice.send(t, sent(ws.NewPongFrame(nil)))
		}
		alice.expect(t, ws.NewPingFrame(nil))
		began := time.Now()
		if e := <-alice.ended; !errors.Is(e.err, os.ErrDeadlineExceeded) || time.Since(began) != pingAfter {
			t.Errorf("it ended with %v after %v, want a timeout after %v", e.err, time.Since(began), pingAfter)
		}
	})
}

// All that waits is sent, also when it is more than is written at once.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		alice := g.connect(t, "alice")
		m := g.hub.rooms["room"][0]
		line := strings.Repeat("x", maxLine)
		const lines = 3 * maxTake / maxLine
		for range lines {
			g.hub.say(m, line)
		}
		for range lines {
			alice.expect(t, text("alice: "+line))
		}
	})
}

func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGeneration(t)
		slow := g.connect(t, "slow")
		m := g.hub.rooms["room"][0]
		big := strings.Repeat("x", maxTake)
		g.hub.say(m, big) // keeps the writer busy
		synctest.Wait()
		for range maxQueue {
			g.hub.say(m, "line")
		}
		if g.hub.closing(m) {
			t.Fatal("it was dismissed with a full queue, want that it may be full")
		}
		g.hub.say(m, "one more")
		slow.expect(t, text("slow: "+big), bye(ws.StatusPolicyViolation, "too slow: 1024 lines were waiting"))
		slow.Close()
		if e := <-slow.ended; !errors.Is(e.err, io.EOF) {
			t.Errorf("it ended with %v, want EOF", e.err)
		}

		stuck := g.connect(t, "stuck")
		g.hub.say(g.hub.rooms["room"][0], "nobody reads this")
		began := time.Now()
		if e := <-stuck.ended; !errors.Is(e.err, os.ErrDeadlineExceeded) || time.Since(began) != writeTimeout {
			t.Errorf("it ended with %v after %v, want a timeout after %v", e.err, time.Since(began), writeTimeout)
		}
	})
}
