package units

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-go/holdfast/"

// arrows says what each package of this module may import of this module. What
// is not listed may import nothing of it. The rooms stay apart so that each can
// be used, and read, without the others: see "What is here" in the README.
var arrows = map[string][]string{
	"activation":                  nil,
	"notify":                      nil,
	"notify/notifytest":           {"notify"},
	"handoff":                     {"activation", "notify", "handoff/parcel", "handoff/keepalive", "handoff/internal/rotation"},
	"handoff/parcel":              {"activation"},
	"handoff/keepalive":           {"activation"},
	"handoff/internal/generation": nil,
	"handoff/internal/supervisor": {"handoff/internal/generation", "handoff/internal/rotation", "handoff/internal/workers", "activation", "notify", "handoff/parcel"},
	"handoff/internal/control":    nil,
	"handoff/internal/rotation":   {"handoff/internal/procnet"},
	"handoff/internal/procnet":    nil,
	"handoff/internal/workers":    {"handoff/internal/procnet", "activation"},
	"handoff/handoffd":            {"handoff/internal/supervisor", "handoff/internal/control", "handoff/internal/rotation", "units", "units/check"},
	"units/check":                 {"units"},
}

// foreign says which packages from outside the standard library the two
// protocol libraries may lean on.
var foreign = map[string][]string{
	"activation": {"golang.org/x/sys/", "github.com/coreos/go-systemd/v22/"},
	"notify":     {"golang.org/x/sys/", "github.com/coreos/go-systemd/v22/"},
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		room, ours := strings.CutPrefix(pkg, module)
		if !ours || strings.HasPrefix(room, "examples/") {
			continue
		}
		seen++
		for imp := range strings.FieldsSeq(imports) {
			switch to, ours := strings.CutPrefix(imp, module); {
			case ours && !allowed(room, to):
				t.Errorf("%s must not import %s", room, to)
			case !ours && strings.Contains(imp, ".") && foreign[room] != nil && !slices.ContainsFunc(foreign[room], func(p string) bool { return strings.HasPrefix(imp, p) }):
				t.Errorf("%s must not import %s", room, imp)
			}
		}
	}
	if seen == 0 {
		t.Fatal("go list found no package of this module")
	}
}

// allowed reports whether the package room may import the package to. In units
// each folder is free within itself.
func allowed(room, to string) bool {
	if slices.Contains(arrows[room], to) {
		return true
	}
	parts := strings.Split(room, "/")
	if parts[0] != "units" || len(parts) < 2 {
		return false
	}
	own := parts[0] + "/" + parts[1]
	return to == own || strings.HasPrefix(to, own+"/")
}
