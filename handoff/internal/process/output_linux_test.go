package process

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestOutput: all is copied on by the time flush returns, also while the other end
// stays open, and the last lines are remembered.
func TestOutput(t *testing.T) {
	leaktest.Check(t)
	var to bytes.Buffer
	o, w, err := NewOutput(&to)
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
			o.Flush()
			if to.String() != want.String() {
				t.Fatalf("after line %d, %q was copied", i, to.String())
			}
		}
	}
	w.Close()
	<-o.done
	o.Flush() // of one that has ended
	if to.String() != want.String() {
		t.Errorf("%q was copied", to.String())
	}
	lines := o.Lines()
	if len(lines) != tailLines || lines[0] != "line 90" || lines[tailLines-1] != "line 99" {
		t.Errorf("the last lines are %q", lines)
	}
	o.Close()
}

func TestOutputTail(t *testing.T) {
	leaktest.Check(t)
	o := &Output{to: new(bytes.Buffer)}
	if lines := o.Lines(); lines != nil {
		t.Errorf("of nothing, the last lines are %q", lines)
	}
	o.write(bytes.Repeat([]byte("x"), 10*tailBytes))
	o.write([]byte("\xff\r\n\x1b[2Jthe\tend"))
	lines := o.Lines()
	if len(lines) != 2 || lines[1] != "\uFFFD[2Jthe\tend" || !strings.HasSuffix(lines[0], "x\uFFFD") || len(o.tail) != tailBytes {
		t.Errorf("%d bytes are kept, and the last lines are %.20q", len(o.tail), lines)
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
	o, w, err := NewOutput(to)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
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
