package check

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// optionsText lists what systemd 247 to 262 know in the sections [Unit], [Socket],
// [Service] and [Install]: the option, its sections, the version that brought it (0:
// 247 had it already), the version that dropped it (0: none), and the kind of its
// values in the newest. Options, sections and kinds are those of `systemd
// --dump-configuration-items` of 247, 252, 257 and 262, the versions between them those
// of the man pages. TestOptionsAsSystemd compares the table with the four, and writes
// it anew:
//
//	HOLDFAST_SYSTEMD=all go test ./units/check -run TestOptionsAsSystemd -write
//
//go:embed options.txt
var optionsText string

// known is one option.
type known struct {
	sections    []string
	since, gone int
	kind        string // "BOOLEAN"
}

var knownOptions = sync.OnceValue(func() map[string]known {
	all := make(map[string]known)
	for line := range strings.Lines(optionsText) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 5)
		k := known{sections: strings.Split(fields[1], ","), kind: fields[4]}
		k.since, _ = strconv.Atoi(fields[2])
		k.gone, _ = strconv.Atoi(fields[3])
		if own, ok := ofOptions[fields[0]]; ok {
			k.kind = own
		}
		if plain, ok := plainKinds[k.kind]; ok {
			k.kind = plain
		}
		all[fields[0]] = k
	}
	return all
})

// nearest is the known option of a section that is at most two edits away; "" for
// none.
func nearest(section, name string) string {
	best, distance := "", 3
	for option, k := range knownOptions() {
		for _, s := range k.sections {
			if d := edits(option, name); s == section && (d < distance || d == distance && option < best) {
				best, distance = option, d
			}
		}
	}
	return best
}

// edits is the Levenshtein distance, without regard to case.
func edits(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			swap := last
			if a[i] != b[j] {
				swap++
			}
			last = row[j+1]
			row[j+1] = min(swap, last+1, row[j]+1)
		}
	}
	return row[len(b)]
}
