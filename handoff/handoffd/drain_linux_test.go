package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
)

// TestDrainUnix: a Unix socket cannot be shut and come back. Its clients wait while the
// service is out, and none is refused.
func TestDrainUnix(t *testing.T) {
	d := standalone(t)
	for range 2 { // the second finds it out
		if out, code := verb(t, "drain", "--control", d.control); code != 0 {
			t.Fatalf("drain exits with %d: %s", code, out)
		}
	}
	// This one has no unit, and mostly not even a manager to ask for it.
	if out, code := verb(t, "drain", "--stop-socket", "--control", d.control); code != exitUndone || !strings.Contains(out, "out of the rotation; stop the sockets") {
		t.Errorf("drain --stop-socket exits with %d: %s", code, out)
	}
	if status := d.status(); status.Situation != "out of the rotation" || len(status.Generations) != 0 {
		t.Fatalf("after drain: %+v", status)
	}
	answers := make(chan string, 3)
	for range cap(answers) {
		c := d.visitor() // in the queue
		go func() {
			io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
			answer, err := io.ReadAll(c)
			answers <- fmt.Sprintf("%s, %v", answer, err)
		}()
	}
	if out, code := verb(t, "undrain", "--control", d.control); code != 0 {
		t.Fatalf("undrain exits with %d: %s", code, out)
	}
	for range cap(answers) {
		if got := <-answers; !strings.Contains(got, "generation 2, hello") {
			t.Errorf("one that waited gets %q", got)
		}
	}
}

// TestUndrainToNothing: where no generation comes up the service is over, and undrain
// says why.
func TestUndrainToNothing(t *testing.T) {
	d := standalone(t)
	if out, code := verb(t, "drain", "--control", d.control); code != 0 {
		t.Fatalf("drain exits with %d: %s", code, out)
	}
	if err := os.Remove(d.env); err != nil {
		t.Fatal(err)
	}
	out, code := verb(t, "undrain", "--control", d.control)
	if code != exitUndone || !strings.Contains(out, "handoffd has ended: the first generation failed") {
		t.Errorf("undrain exits with %d: %s", code, out)
	}
	select {
	case <-d.done:
	case <-time.After(poll.Patience):
		t.Error("handoffd does not end")
	}
}
