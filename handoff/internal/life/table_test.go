package life

import (
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestTable sends every event to every state, and wants what the comment of the
// package says, no less and no more.
func TestTable(t *testing.T) {
	columns, want := documented(t)
	var names []string
	for s := range Ended { // it takes nothing, which is checked below
		names = append(names, s.String())
	}
	if !slices.Equal(columns, names) {
		t.Errorf("the columns are %q, want %q", columns, names)
	}
	if len(want) != int(events) {
		t.Errorf("%d rows, want %d", len(want), events)
	}
	for e := range events {
		for s := range states {
			m := Machine{s}
			takes := m.Takes(e)
			do := m.Handle(e)
			got := m.State().String()
			switch {
			case !takes && (m.State() != s || do != nil):
				t.Errorf("%v is not taken when %v, and something comes of it", e, s)
			case !takes:
				got = ""
			case m.State() == s:
				got = "-"
			}
			cell := ""
			if s < Ended && len(want[e.String()]) == int(Ended) {
				cell = want[e.String()][s]
			}
			if got != cell {
				t.Errorf("%v when %v leads to %q, and the comment says %q", e, s, got, cell)
			}
		}
	}
}

// documented reads the table in the comment of the package.
func documented(t *testing.T) (columns []string, rows map[string][]string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	rows = make(map[string][]string)
	for line := range strings.Lines(f.Doc.Text()) {
		cells := strings.Split(strings.Trim(line, "\t\n"), "|")
		if len(cells) < 3 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "event" {
			columns = cells[1:]
			continue
		}
		rows[cells[0]] = cells[1:]
	}
	return columns, rows
}

// TestOneChannel: events that come through one channel are taken by the same states.
// Run could not leave the one in it, and take the other.
func TestOneChannel(t *testing.T) {
	for s := range states {
		m := Machine{s}
		for _, both := range [][2]Event{{ReleaseAsked, ResumeAsked}, {StatesBack, StatesLost}} {
			if m.Takes(both[0]) != m.Takes(both[1]) {
				t.Errorf("when %v only one of %v is taken", s, both)
			}
		}
	}
}

// TestNames: everything has a name of its own.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	add := func(v fmt.Stringer) {
		if name := v.String(); name == "" || seen[name] {
			t.Errorf("%T %d is called %q", v, v, name)
		} else {
			seen[name] = true
		}
	}
	for s := range states {
		add(s)
	}
	for e := range events {
		add(e)
	}
	for f := range effects {
		add(f)
	}
}
