package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

var syntaxRules = []Rule{
	{
		ID: "unit-broken", Severity: Loss, Man: "systemd.syntax(7)",
		Doc:    "At a line that is not UTF-8, a section that is not closed, or some values that it cannot read, systemd gives up on the unit file and loads no unit from it. Such values are a DynamicUser= that is no boolean or empty; a WorkingDirectory=, RootDirectory= or program that is no absolute path; a User= or Group= with a colon or a slash; a command with a quote that is not closed, without a program, or with @ before the program and no name for it.",
		Reason: "no unit is loaded, so every client is refused",
		check: func(c *checker) {
			for _, u := range c.Units() {
				if u.broken != nil {
					c.report(u, units.Option{File: u.broken.File, Line: u.broken.Line},
						"systemd does not load the unit: "+u.broken.Reason, "mend the line, and see what systemd-analyze verify says")
				}
			}
		},
	},
	{
		ID: "line-ignored", Severity: Ineffective, Man: "systemd.syntax(7)",
		Doc:    "A line that is no assignment, or stands in no section, is ignored. So is what follows a line in a drop-in at which systemd gives up (unit-broken).",
		Reason: "the line does nothing, and what it was for does not hold",
		check: func(c *checker) {
			for _, u := range c.Units() {
				for _, e := range u.ignored {
					c.report(u, units.Option{File: e.File, Line: e.Line}, "systemd ignores the line: "+e.Reason, "mend or remove the line")
				}
			}
		},
	},
	{
		ID: "unknown-section", Severity: Ineffective, Man: "systemd.unit(5)",
		Doc:    "A service has the sections [Unit], [Service] and [Install], a socket [Unit], [Socket] and [Install]. Others are ignored as a whole, unless their name begins with X-.",
		Reason: "no line of the section does anything",
		check: func(c *checker) {
			for _, u := range c.Units() {
				seen := map[string]bool{"Unit": true, "Install": true, u.own(): true}
				for _, o := range u.options {
					if !seen[o.Section] && !strings.HasPrefix(o.Section, "X-") {
						seen[o.Section] = true
						c.report(u, o, fmt.Sprintf("systemd ignores the section [%s] in a %s", o.Section, kind(u.Name)),
							fmt.Sprintf("a %s has [Unit], [%s] and [Install]", kind(u.Name), u.own()))
					}
				}
			}
		},
	},
	{
		ID: "unknown-option", Severity: Ineffective, Man: "systemd.directives(7)",
		Doc:    "An option that no systemd knows is ignored, with a line in the log that nobody reads. Mostly it is misspelt.",
		Reason: "the line does nothing",
		check:  func(c *checker) { c.options(unknownOption) },
	},
	{
		ID: "wrong-section", Severity: Ineffective, Man: "systemd.directives(7)",
		Doc:    "An option in a section that it does not belong to is ignored. StartLimitIntervalSec= belongs into [Unit], and Restart= into [Service].",
		Reason: "the line does nothing where it stands",
		check:  func(c *checker) { c.options(wrongSection) },
	},
	{
		ID: "option-too-new", Severity: Ineffective, Man: "systemd.directives(7)",
		Doc:    "An option that is newer than the systemd is ignored.",
		Reason: "the line does nothing on this systemd",
		check:  func(c *checker) { c.options(optionTooNew) },
	},
	{
		ID: "option-gone", Severity: Ineffective, Man: "systemd.directives(7)",
		Doc:    "An option that this systemd no longer has is ignored, such as those of version 1 of the control groups from v258 on.",
		Reason: "the line does nothing on this systemd",
		check:  func(c *checker) { c.options(optionGone) },
	},
	{
		ID: "value-too-new", Severity: Ineffective, Man: "systemd.directives(7)",
		Doc:    "A value that is newer than the systemd is ignored, and the default holds. With Type=notify-reload before v253 that is Type=simple: systemd then awaits no readiness, and the service cannot be reloaded.",
		Reason: "the line does nothing on this systemd, and the default holds",
		check:  func(c *checker) { c.options(valueTooNew) },
	},
	{
		ID: "bad-value", Severity: Ineffective, Man: "systemd.syntax(7)",
		Doc:    "A value that systemd cannot read is ignored, and what held before holds: a boolean that is none, a time span, a kind that there is not. So is an empty one, for most options of a single value: it takes nothing back.",
		Reason: "the line does nothing, and what held before holds",
		check:  func(c *checker) { c.options(badValue) },
	},
}

// options calls f for each assignment of a section that the unit may have.
func (c *checker) options(f func(c *checker, u *Unit, o units.Option)) {
	for _, u := range c.Units() {
		for _, o := range u.options {
			if slices.Contains([]string{"Unit", "Install", u.own()}, o.Section) && !strings.HasPrefix(o.Name, "X-") {
				f(c, u, o)
			}
		}
	}
}

func unknownOption(c *checker, u *Unit, o units.Option) {
	if _, ok := knownOptions()[o.Name]; ok {
		return
	}
	mend := "remove the line"
	if n := c.nearest(o.Section, o.Name); n != "" {
		mend = fmt.Sprintf("write %s=, if that is meant", n)
	}
	c.report(u, o, fmt.Sprintf("systemd has no option %s=, and ignores it", o.Name), mend)
}

// mostGuesses bounds how many options of a pair are guessed at: each is compared with all
// that there are.
const mostGuesses = 100

// nearest is the known option that may be meant by another name; "" for none.
func (c *checker) nearest(section, name string) string {
	if c.guesses++; c.guesses > mostGuesses {
		return ""
	}
	return nearest(section, name)
}

func wrongSection(c *checker, u *Unit, o units.Option) {
	k, ok := knownOptions()[o.Name]
	if !ok || slices.Contains(k.sections, o.Section) {
		return
	}
	reason := fmt.Sprintf("%s= in [%s] is ignored", o.Name, o.Section)
	for _, s := range k.sections {
		if s == "Unit" || s == "Install" || s == u.own() {
			c.report(u, o, reason, fmt.Sprintf("put it into [%s]", s)).set(s, o.Name, o.Value)
			return
		}
	}
	c.report(u, o, reason, fmt.Sprintf("it belongs into [%s] of another kind of unit", strings.Join(k.sections, "] or [")))
}

func optionTooNew(c *checker, u *Unit, o units.Option) {
	if k, ok := knownOptions()[o.Name]; ok && k.since > c.Systemd && slices.Contains(k.sections, o.Section) {
		c.report(u, o, fmt.Sprintf("systemd %d ignores %s=, which is new in v%d", c.Systemd, o.Name, k.since), "do not rely on it there")
	}
}

func optionGone(c *checker, u *Unit, o units.Option) {
	if k, ok := knownOptions()[o.Name]; ok && k.gone != 0 && k.gone <= c.Systemd && slices.Contains(k.sections, o.Section) {
		c.report(u, o, fmt.Sprintf("systemd %d ignores %s=, which went with v%d", c.Systemd, o.Name, k.gone), "remove the line")
	}
}

func valueTooNew(c *checker, u *Unit, o units.Option) {
	if since := newValues[o.Name][o.Value]; since > c.Systemd && knownOptions()[o.Name].since <= c.Systemd {
		mend := "use a value that it knows"
		if o.Value == "notify-reload" {
			mend = "Type=notify, with an ExecReload= that waits until the reload is done"
		}
		c.report(u, o, fmt.Sprintf("systemd %d ignores %s=%s, which is new in v%d", c.Systemd, o.Name, o.Value, since), mend)
	}
}

func badValue(c *checker, u *Unit, o units.Option) {
	if o.Name == "FileDescriptorName" { // fd-name-invalid says what the program finds
		return
	}
	switch reads(o) {
	case ignored:
		c.report(u, o, fmt.Sprintf("systemd cannot read %s=%s, and ignores it", o.Name, o.Value), "write a value that the man page names")
	case partly:
		c.report(u, o, fmt.Sprintf("systemd cannot read a part of %s=%s, and ignores it", o.Name, o.Value), "write values that the man page names")
	}
}
