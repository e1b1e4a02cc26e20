package reexec

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// A note is a document.
type note struct {
	Header
	Text string   `json:"text,omitempty"`
	Used []fd.Ref `json:"used"`
}

func (n *note) Places() []fd.Ref { return n.Used }

func (n *note) Check() error {
	if n.Text == "" {
		return errors.New("no text")
	}
	return nil
}

func someNote() *note {
	return &note{Header: Header{PID: 7, Descriptors: []int{5, 6}}, Text: "text", Used: []fd.Ref{2, 1}}
}

// TestSeal: what is read is what was written, and nobody can change it.
func TestSeal(t *testing.T) {
	leaktest.Check(t)
	want := someNote()
	f, err := Seal(want)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("it can be changed: %v", err)
	}
	got := new(note)
	if err := Unseal(f, got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := Unseal(fdtest.Memfd(t), got); !errors.Is(err, ErrState) {
		t.Errorf("a file that is not sealed: %v", err)
	}
}

// TestRefusals: what nobody has written is not believed.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(n *note)
		want   string
	}{
		{"of another version", func(n *note) { n.Version = "0" }, `version "0"`},
		{"a standard descriptor", func(n *note) { n.Descriptors[0] = 2 }, "descriptor 2"},
		{"a descriptor twice", func(n *note) { n.Descriptors[0] = 6 }, "descriptor 6"},
		{"no such descriptor", func(n *note) { n.Used[0] = 3 }, "reference to descriptor 3 of 2"},
		{"no descriptor", func(n *note) { n.Used[0] = 0 }, "reference to descriptor 0"},
		{"two uses", func(n *note) { n.Used[0] = 1 }, "or two"},
		{"no PID", func(n *note) { n.PID = 0 }, "PID 0"},
		{"what the document itself minds", func(n *note) { n.Text = "" }, "no text"},
	} {
		n := someNote()
		n.Version = stateVersion
		c.change(n)
		b, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(b, new(note)); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for _, text := range []string{"", "[]", "garbage", `{"version":"1"}{}`} {
		if err := Unmarshal([]byte(text), new(note)); !errors.Is(err, ErrState) {
			t.Errorf("%q: %v", text, err)
		}
	}
	n := someNote()
	n.Text = strings.Repeat("x", maxState)
	if _, err := Marshal(n); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a state that is too large: %v", err)
	}
}

// number returns a duplicate that Inherit closes.
func number(t *testing.T, f *os.File) (text string) {
	t.Helper()
	err := fd.With(f, func(fd int) error {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		text = strconv.Itoa(dup)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNothingToInherit: variables that lead to no state.
func TestNothingToInherit(t *testing.T) {
	if s, err := Inherit(new(note)); s != nil || err != nil {
		t.Errorf("without them: %v, %v", s, err)
	}
	foreign, err := Seal(someNote())
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for text, want := range map[string]string{
		"":                         "want a descriptor",
		"2":                        "want a descriptor",
		"no":                       "want a descriptor",
		number(t, fdtest.Memfd(t)): "no sealed file",
		number(t, foreign):         "it is of process 7",
	} {
		t.Setenv(envState, text)
		if s, err := Inherit(new(note)); s != nil || !errors.Is(err, ErrState) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, s, err, want)
		}
		if _, ok := os.LookupEnv(envState); ok {
			t.Errorf("%q stays", text)
		}
	}
}

// TestInherit: the descriptors are there, and those of keys that are not known here are
// closed.
func TestInherit(t *testing.T) {
	leaktest.Check(t)
	ours, theirs := fdtest.Pair(t)
	memory := fdtest.Memfd(t)
	files := new(Files)
	defer files.Close()
	later := struct {
		*note
		Later fd.Ref `json:"later"` // a later program writes it, and this one has no such field
	}{someNote(), files.Duplicate(ours)}
	later.Used = []fd.Ref{files.Duplicate(memory)}
	later.PID, later.Descriptors = os.Getpid(), nil
	for _, f := range files.List() {
		n, err := strconv.Atoi(number(t, f))
		if err != nil {
			t.Fatal(err)
		}
		later.Descriptors = append(later.Descriptors, n)
	}
	state, err := Seal(later)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envState, number(t, state))
	state.Close()
	files.Close()
	ours.Close()
	got := new(note)
	s, err := Inherit(got)
	if err != nil {
		t.Fatal(err)
	}
	if s.OnTrial() || got.Text != "text" {
		t.Errorf("on trial: %v, got %+v", s.OnTrial(), got)
	}
	f := s.File(got.Used[0])
	defer f.Close()
	if !fd.Same(f, memory) {
		t.Error("it is another file")
	}
	if n, err := theirs.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a socket that nobody knows stays open: %d, %v", n, err)
	}
}
