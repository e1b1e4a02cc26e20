package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// A comment above a line silences findings of one rule about that line:
//
//	# check: ignore flush-pending because clients ask again
//
// ignoreMark is how it begins.
const ignoreMark = "check: ignore"

var ignoreRules = []Rule{
	{
		ID: "ignore-comment", Severity: Ineffective, Man: "handoffd(8)",
		Doc:    "A comment such as \"check: ignore flush-pending because clients ask again\" silences the findings of a rule about the line below it. One without a reason, or that names no rule, is not obeyed.",
		Reason: "the comment does not do what it says",
		check:  (*checker).ignoreComment,
	},
}

// parseIgnore reads one line of a comment. asked is false for any other comment; wrong
// says why it is not obeyed. known are the rules that there are.
func parseIgnore(line string, known map[string]bool) (rule, wrong string, asked bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), ignoreMark)
	if !ok {
		return "", "", false
	}
	rule, because, ok := strings.Cut(strings.TrimSpace(rest), " ")
	reason, stated := strings.CutPrefix(strings.TrimSpace(because)+" ", "because ")
	switch {
	case !known[rule]:
		return "", fmt.Sprintf("there is no rule %q", rule), true
	case !ok || !stated || strings.TrimSpace(reason) == "":
		return "", "it gives no reason", true
	}
	return rule, "", true
}

// ignores calls f for each comment in the pair that is to silence something, and the
// line below it.
func (c *checker) ignores(f func(u *Unit, o units.Option, rule, wrong string)) {
	for _, u := range c.Units() {
		for _, o := range u.options {
			if !strings.Contains(o.Comment, ignoreMark) {
				continue
			}
			for line := range strings.Lines(o.Comment) {
				if rule, wrong, asked := parseIgnore(line, c.ids); asked {
					f(u, o, rule, wrong)
				}
			}
		}
	}
}

func (c *checker) ignoreComment() {
	c.ignores(func(u *Unit, o units.Option, _, wrong string) {
		if wrong != "" {
			c.report(u, o, "the comment above does not silence anything: "+wrong, "# check: ignore RULE because REASON")
		}
	})
}

// silence drops the findings that comments tell to ignore.
func (c *checker) silence() {
	type key struct {
		file, rule string
		line       int
	}
	silent := make(map[key]bool)
	c.ignores(func(_ *Unit, o units.Option, rule, _ string) { silent[key{o.File, rule, o.Line}] = true })
	c.findings = slices.DeleteFunc(c.findings, func(f *Finding) bool { return silent[key{f.File, f.Rule, f.Line}] })
}
