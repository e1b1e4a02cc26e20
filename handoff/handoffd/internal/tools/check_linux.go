package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/units/check"
)

// CheckOptions say what to check, and how to print what was found.
type CheckOptions struct {
	Args    []string // files, and names of units
	Systemd int      // the version to check for; 0 is that of the running manager, or check.Newest
	User    bool     // units of the user's manager
	JSON    bool     // print as JSON
	Fix     bool     // print the drop-ins that mend what drop-ins can
}

// Check prints to w what in unit files would lose a client, and reports whether
// there is a finding of severity check.Loss. It asks the running manager, where there
// is one. errors.Is finds ErrUsage where an argument names no unit.
func Check(ctx context.Context, w io.Writer, o CheckOptions) (loss bool, err error) {
	manager, err := dialManager(ctx, o.User)
	if err == nil {
		defer manager.Close()
	}
	pairs, missing := loadPairs(o.Args, manager, err, o.User)
	if missing != nil {
		return false, usagef("check: %w", missing)
	}
	r := Report{Systemd: o.Systemd, Findings: []check.Finding{}}
	if r.Systemd == 0 {
		r.Systemd = check.Newest
		if manager != nil && manager.version > 0 {
			r.Systemd = manager.version
		}
	}
	for _, p := range pairs {
		for _, u := range p.Units() {
			r.Units = append(r.Units, u.Name)
		}
	}
	r.Findings = append(r.Findings, check.Check(pairs, check.Options{Systemd: r.Systemd, SomaxConn: somaxconn()})...)
	if err := r.print(w, o); err != nil {
		return false, err
	}
	return slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Severity == check.Loss }), nil
}

// loadPairs reads what the arguments name: files from their folders, anything else
// from the manager, or where there is none (reason) from its folders.
func loadPairs(args []string, manager *manager, reason error, user bool) ([]*check.Pair, error) {
	var folders, files, names []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		folder := err == nil && info.IsDir() // in the working one is a name: nginx in /etc
		if strings.Contains(arg, "/") || arg == "." || arg == ".." || err == nil && !folder {
			if folder {
				return nil, fmt.Errorf("%s is a folder: want the files of units in it, or the names of units", arg)
			}
			path, err := filepath.Abs(arg)
			if err != nil {
				return nil, err
			}
			dir, name := filepath.Split(path)
			if unit, ok := strings.CutSuffix(filepath.Base(dir), ".d"); ok && filepath.Ext(name) == ".conf" {
				if filepath.Ext(unit) == "" || strings.HasSuffix(strings.TrimSuffix(unit, filepath.Ext(unit)), "-") {
					return nil, fmt.Errorf("%s is for all units that %s is the folder of: want the name or the file of one", arg, unit+".d")
				}
				dir, name = filepath.Dir(filepath.Clean(dir)), unit
			}
			if base, ok := strings.CutSuffix(name, ".container"); ok { // of Podman, whose generator makes a service of it
				name = base + ".service"
			}
			files = append(files, name)
			if dir = filepath.Clean(dir); !slices.Contains(folders, dir) { // each is read for each unit
				folders = append(folders, dir)
			}
			continue
		}
		switch ext := filepath.Ext(arg); {
		case ext == ".socket" || ext == ".service":
		case slices.Contains(otherKinds, ext):
			return nil, fmt.Errorf("unit %q: want the name of a .service or of a .socket", arg)
		default:
			arg += ".service"
		}
		names = append(names, arg)
	}
	var pairs []*check.Pair
	if len(files) > 0 {
		src := check.Folders{Dirs: folders, User: user}
		for _, dir := range folders {
			switch {
			case slices.Contains(check.SystemDirs, dir):
				src.Dirs = check.SystemDirs
			case slices.Contains(check.UserDirs, dir):
				src.Dirs, src.User = check.UserDirs, true
			}
		}
		more, err := check.Load(src, files...)
		if err != nil {
			return nil, err
		}
		pairs = more
	}
	if len(names) > 0 {
		var src check.Source = manager
		if manager == nil {
			src = check.Folders{Dirs: check.SystemDirs}
			if user {
				return nil, fmt.Errorf("no manager of the user is to be reached: %w", reason)
			}
		}
		more, err := check.Load(src, names...)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, more...)
	}
	return pairs, nil
}

// otherKinds are what the names of units end in that hold no socket (systemd.unit(5)).
var otherKinds = []string{".target", ".timer", ".mount", ".automount", ".swap", ".path", ".slice", ".scope", ".device"}

// somaxconn is net.core.somaxconn; 0 where it cannot be read.
func somaxconn() int {
	text, _ := os.ReadFile("/proc/sys/net/core/somaxconn")
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// A Report is what Check has to say; with --json it is printed like this.
type Report struct {
	Systemd  int             `json:"systemd"` // the version that was checked for
	Units    []string        `json:"units"`
	Findings []check.Finding `json:"findings"`
}

func (r Report) print(w io.Writer, o CheckOptions) error {
	switch {
	case o.JSON:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case o.Fix:
		return r.printFix(w, o.User)
	}
	counts := make(map[check.Severity]int)
	for _, f := range r.Findings {
		counts[f.Severity]++
		fmt.Fprintln(w, f)
	}
	summary := "nothing found"
	if len(r.Findings) > 0 {
		summary = fmt.Sprintf("%d loss, %d ineffective, %d unwise", counts[check.Loss], counts[check.Ineffective], counts[check.Unwise])
	}
	_, err := fmt.Fprintf(w, "%s: %s, for systemd %d\n", strings.Join(r.Units, ", "), summary, r.Systemd)
	return err
}

// printFix prints the drop-ins, each under the path that it may be written to, and
// what takes an editor.
func (r Report) printFix(w io.Writer, user bool) error {
	dir := "/etc/systemd/system"
	if user {
		dir = "/etc/systemd/user"
	}
	texts := check.DropIns(r.Findings)
	for i, unit := range slices.Sorted(maps.Keys(texts)) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "# %s/%s.d/zz-handoffd-check.conf\n%s", dir, unit, texts[unit])
	}
	var errs []error
	for _, f := range r.Findings {
		if len(f.Fix) == 0 {
			_, err := fmt.Fprintf(w, "# By hand, %s:%d: %s: %s. Mend: %s.\n", f.File, f.Line, f.Rule, f.Reason, f.Mend)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// PrintRules lists the rules, and why each is there.
func PrintRules(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(check.Rules())
	}
	var err error
	for _, r := range check.Rules() {
		see := r.Man
		for _, address := range r.Threads() {
			see += ", " + address
		}
		_, err = fmt.Fprintf(w, "%s (%s)\n    %s\n    See %s.\n", r.ID, r.Severity, r.Doc, see)
	}
	return err
}
