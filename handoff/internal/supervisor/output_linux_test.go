package supervisor

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestOutput: all is copied on by the time flush returns, also while the other end
// stays open, and the last lines are remembered.
func TestOutput(t *testing.T) {
	leaktest.Check(t)
	var to bytes.Buffer
	o, w, err := newOutput(&to)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 100 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if _, err := w.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			o.flush()
			if to.String() != want.String() {
				t.Fatalf("after line %d, %q was copied", i, to.String())
			}
		}
	}
	w.Close()
	<-o.done
	o.flush() // of one that has ended
	if to.String() != want.String() {
		t.Errorf("%q was copied", to.String())
	}
	lines := o.lines()
	if len(lines) != tailLines || lines[0] != "line 90" || lines[tailLines-1] != "line 99" {
		t.Errorf("the last lines are %q", lines)
	}
	o.close()
}

func TestOutputTail(t *testing.T) {
	leaktest.Check(t)
	o := &output{to: new(bytes.Buffer)}
	if lines := o.lines(); lines != nil {
		t.Errorf("of nothing, the last lines are %q", lines)
	}
	o.write(bytes.Repeat([]byte("x"), 10*tailBytes))
	o.write([]byte("\xff\r\n\x1b[2Jthe\tend"))
	lines := o.lines()
	if len(lines) != 2 || lines[1] != "\uFFFD[2Jthe\tend" || !strings.HasSuffix(lines[0], "x\uFFFD") || len(o.tail) != tailBytes {
		t.Errorf("%d bytes are kept, and the last lines are %.20q", len(o.tail), lines)
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		exit Exit
		want int
	}{
		{Exit{}, 0},
		{Exit{Status: generation.ExitStatus{Code: 3}}, 3},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGTERM)}}, 0},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGQUIT)}, stop: syscall.SIGQUIT}, 0},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGQUIT)}, stop: syscall.SIGTERM}, 128 + 3},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGKILL)}}, 128 + 9},
		{Exit{Status: generation.ExitStatus{Signal: int(syscall.SIGTERM)}, Reason: "they die"}, 128 + 15},
	} {
		if code := c.exit.Code(); code != c.want {
			t.Errorf("%+v: got %d, want %d", c.exit, code, c.want)
		}
	}
}

// A stuckWriter takes nothing until it is freed.
type stuckWriter struct{ stuck, freed chan struct{} }

func (w *stuckWriter) Write(b []byte) (int, error) {
	select {
	case w.stuck <- struct{}{}:
	case <-w.freed:
	}
	<-w.freed
	return len(b), nil
}

// TestOutputHaltedTwice: what was stuck while it was halted, and more than once, is
// copied by one goroutine again, and can be halted.
func TestOutputHaltedTwice(t *testing.T) {
	leaktest.Check(t)
	to := &stuckWriter{stuck: make(chan struct{}), freed: make(chan struct{})}
	o, w, err := newOutput(to)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	defer w.Close()
	if _, err := w.WriteString("line\n"); err != nil {
		t.Fatal(err)
	}
	<-to.stuck
	for range 2 {
		if o.halt() {
			t.Fatal("it is halted, and copies")
		}
		o.resume()
	}
	close(to.freed)
	for range 20 {
		if !o.halt() {
			t.Fatal("it is not halted, and nothing is stuck any more")
		}
		o.resume()
	}
}
