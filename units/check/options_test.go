package check

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

var rewrite = flag.Bool("write", false, "write options.txt and syscalls.txt anew, from the systemds of the test")

// TestOptionsAsSystemd: systemd knows the options and system calls that the tables say it
// knows, and reads values of the kinds that they say. With -write it writes the tables.
func TestOptionsAsSystemd(t *testing.T) {
	kinds := make(map[string]string)          // of the newest systemd seen, by option
	calls := make(map[string]bool)            // of all
	knows := make(map[int]map[[2]string]bool) // sections and options, by version
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		section, here := "", make(map[[2]string]bool)
		knows[m.Version()] = here
		for line := range strings.Lines(m.Output("sh", "-c", "$(ls /usr/lib/systemd/systemd /lib/systemd/systemd 2>/dev/null | head -n 1) --dump-configuration-items")) {
			line = strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(line, "["); ok {
				section = strings.TrimSuffix(name, "]")
			} else if name, kind, ok := strings.Cut(line, "="); ok && slices.Contains(tableSections, section) {
				here[[2]string{section, name}] = true
				kinds[name] = kind
			}
		}
		call := regexp.MustCompile(`(?m)^ +([a-z_][a-z0-9_]*)$`)
		for _, name := range call.FindAllStringSubmatch(m.Output("systemd-analyze", "syscall-filter", "--no-pager"), -1) {
			calls[name[1]] = true
			if !systemCalls()[name[1]] && !*rewrite {
				t.Errorf("the system call %s is missing from the table", name[1])
			}
		}
		if len(here) < 500 || len(calls) < 300 {
			t.Errorf("systemd %d knows %d options and %d system calls", m.Version(), len(here), len(calls))
		}
		for name, k := range knownOptions() {
			for _, section := range k.sections {
				if want := k.since <= m.Version() && (k.gone == 0 || k.gone > m.Version()); here[[2]string{section, name}] != want && !*rewrite {
					t.Errorf("[%s] %s=: systemd %d knows it: %v, the table says %v", section, name, m.Version(), !want, want)
				}
			}
		}
		for at := range here {
			if k, ok := knownOptions()[at[1]]; (!ok || !slices.Contains(k.sections, at[0])) && !*rewrite {
				t.Errorf("[%s] %s= is missing from the table", at[0], at[1])
			}
		}
	})
	text := optionsTable(knows, kinds)
	if *rewrite && len(knows) == 4 {
		if err := errors.Join(os.WriteFile("options.txt", []byte(text), 0o644), os.WriteFile("syscalls.txt", []byte(strings.Join(slices.Sorted(maps.Keys(calls)), "\n")+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if len(knows) == 4 && text != optionsText && !*rewrite {
		t.Error("options.txt is not what the four systemds say: HOLDFAST_SYSTEMD=all go test ./units/check -run TestOptionsAsSystemd -write")
	}
}

var tableSections = []string{"Unit", "Service", "Socket", "Install"}

// optionsTable is the text of options.txt. Which of the versions between two systemds
// brought an option, or dropped it, is what the table says now, where that can be; else
// it is the later one.
func optionsTable(knows map[int]map[[2]string]bool, kinds map[string]string) string {
	versions := slices.Sorted(maps.Keys(knows))
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		var sections []string
		var first, last int // of the versions that know it
		for _, version := range versions {
			for _, section := range []string{"Unit", "Socket", "Service", "Install"} {
				if !knows[version][[2]string{section, name}] {
					continue
				}
				if !slices.Contains(sections, section) {
					sections = append(sections, section)
				}
				if first == 0 {
					first = version
				}
				last = version
			}
		}
		k := knownOptions()[name]
		before, after := versionsAround(versions, first, last)
		since, gone := first, after
		if k.since > before && k.since <= first {
			since = k.since
		}
		if since == versions[0] {
			since = 0
		}
		if after != 0 && k.gone > last && k.gone <= after {
			gone = k.gone
		}
		slices.SortFunc(sections, func(a, b string) int { return sectionOrder(a) - sectionOrder(b) })
		fmt.Fprintf(&text, "%s %s %d %d %s\n", name, strings.Join(sections, ","), since, gone, kinds[name])
	}
	return text.String()
}

func sectionOrder(section string) int {
	return slices.Index([]string{"Unit", "Socket", "Service", "Install"}, section)
}

// versionsAround are the versions before the first that knows an option, and after the
// last; 0 for none.
func versionsAround(versions []int, first, last int) (before, after int) {
	for _, v := range versions {
		if v < first {
			before = v
		}
		if v > last && after == 0 {
			after = v
		}
	}
	return before, after
}
