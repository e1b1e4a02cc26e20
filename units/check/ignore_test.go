package check

import (
	"slices"
	"strings"
	"testing"
)

// TestIgnore: a comment silences the rule that it names about the line below it, and
// nothing else; without a reason it silences nothing.
func TestIgnore(t *testing.T) {
	for comment, want := range map[string]string{
		"# check: ignore flush-pending because clients ask again":                                       "",
		"; check: ignore flush-pending because clients ask again":                                       "",
		"# check: ignore backlog-small because few come\n# check: ignore flush-pending because of that": "",
		"# check: ignore flush-pending":                                                                 "flush-pending ignore-comment",
		"# check: ignore flush-pending because":                                                         "flush-pending ignore-comment",
		"# check: ignore flush-pending since it is right":                                               "flush-pending ignore-comment",
		"# check: ignore flush because it is right":                                                     "flush-pending ignore-comment",
		"# check: ignore": "flush-pending ignore-comment",
		"# check: ignore backlog-small because few come":                       "flush-pending",
		"# flush-pending is ignored":                                           "flush-pending",
		"# check: ignore flush-pending because clients ask again\nNoDelay=yes": "flush-pending",
	} {
		c := ruleCase{base: "plain", bad: dropIn("app.socket", "[Socket]\n"+comment+"\nFlushPending=yes")}
		if got := strings.Join(found(c.run(t, c.over(c.bad))), " "); got != want {
			t.Errorf("%s: found %q, want %q", comment, got, want)
		}
	}
	known := ruleNames()
	for _, r := range Rules() {
		if rule, wrong, asked := parseIgnore("check: ignore "+r.ID+" because of a reason", known); rule != r.ID || wrong != "" || !asked {
			t.Errorf("%s cannot be ignored: %q", r.ID, wrong)
		}
	}
	c := ruleCase{base: "plain", bad: dropIn("app.service", "[Service]\n# check: ignore start-fails because it never does\nRestart=no")}
	if got := found(c.run(t, c.over(c.bad))); slices.Contains(got, "start-fails") {
		t.Errorf("found %q", got)
	}
}
