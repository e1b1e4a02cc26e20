package check

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-go/holdfast/units"
)

// Severity is how much a finding matters.
type Severity int

// The severities, the gravest first. The package comment says what they mean.
const (
	Loss Severity = iota
	Ineffective
	Unwise
)

var severities = [...]string{"loss", "ineffective", "unwise"}

func (s Severity) String() string {
	if s < 0 || int(s) >= len(severities) {
		return fmt.Sprintf("Severity(%d)", int(s))
	}
	return severities[s]
}

// MarshalText makes String the form in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severities[:], string(text))
	if i < 0 {
		return fmt.Errorf("check: there is no severity %q", text)
	}
	*s = Severity(i)
	return nil
}

// A Rule is one thing that can be wrong.
type Rule struct {
	ID       string   `json:"rule"` // "flush-pending"
	Severity Severity `json:"severity"`
	Doc      string   `json:"doc"`              // what it looks for, and why that is bad
	Man      string   `json:"man"`              // "systemd.socket(5)"
	Reason   string   `json:"reason"`           // why it is of this severity
	Issues   []int    `json:"issues,omitempty"` // threads about it at github.com/systemd/systemd

	check func(c *checker)
}

// Threads are the addresses of the Issues.
func (r Rule) Threads() (addresses []string) {
	for _, n := range r.Issues {
		addresses = append(addresses, fmt.Sprintf("https://github.com/systemd/systemd/issues/%d", n))
	}
	return addresses
}

// Rules returns all rules, the gravest first.
func Rules() []Rule {
	all := slices.Clone(rules())
	slices.SortStableFunc(all, func(a, b Rule) int { return int(a.Severity) - int(b.Severity) })
	return all
}

// rules is the table. Its order is that of the findings about one line.
func rules() []Rule { return allRules() }

var allRules = sync.OnceValue(func() []Rule {
	return slices.Concat(syntaxRules, refusedRules, socketRules, acceptRules, pairRules, processRules, pidFileRules, storeRules, startRules, nameRules, handoffdRunRules, handoffdSocketRules, handoffdRules, ignoreRules)
})

// ruleNames are the IDs of all rules.
func ruleNames() map[string]bool {
	names := make(map[string]bool)
	for _, r := range rules() {
		names[r.ID] = true
	}
	return names
}

// A Finding is one thing that is wrong with a unit.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Unit     string   `json:"unit"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Reason   string   `json:"reason"`
	Mend     string   `json:"mend"`
	Man      string   `json:"man"`
	Issues   []string `json:"issues,omitempty"` // addresses of threads about it
	Fix      []Assign `json:"fix,omitempty"`    // what a drop-in would say; empty where none can mend it
}

// An Assign is one line of the drop-in that mends a finding.
type Assign struct {
	Unit    string `json:"unit"`
	Section string `json:"section"`
	Name    string `json:"name"`
	Value   string `json:"value"` // empty: forget what was assigned before
}

// String is the finding in three lines, as a compiler would say it.
func (f Finding) String() string {
	text := fmt.Sprintf("%s:%d: %s: %s [%s]\n    mend: %s\n    see:  %s", f.File, f.Line, f.Severity, f.Reason, f.Rule, f.Mend, f.Man)
	for _, issue := range f.Issues {
		text += ", " + issue
	}
	return text
}

// DropIns returns the text of a drop-in for each unit that has findings which one
// can mend, by the unit's name.
func DropIns(findings []Finding) map[string]string {
	dropIns := make(map[string]*units.Unit)
	said := make(map[Assign]bool)
	for _, f := range findings {
		comment := f.Rule + ": " + f.Mend
		for _, a := range f.Fix {
			u := dropIns[a.Unit]
			if u == nil {
				u = &units.Unit{}
				dropIns[a.Unit] = u
			}
			o := units.Option{Section: a.Section, Name: a.Name, Value: a.Value, Comment: comment}
			comment = ""
			if !said[a] {
				u.Options = append(u.Options, o)
			}
			said[a] = true
		}
	}
	texts := make(map[string]string)
	for name, u := range dropIns {
		slices.SortStableFunc(u.Options, func(a, b units.Option) int { return strings.Compare(b.Section, a.Section) })
		texts[name] = text(u)
	}
	return texts
}
