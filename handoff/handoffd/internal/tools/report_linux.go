package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-go/holdfast/units/check"
)

// A Report is what Check has to say; with --json it is printed like this.
type Report struct {
	Systemd  int             `json:"systemd"` // the version that was checked for
	Units    []string        `json:"units"`
	Findings []check.Finding `json:"findings"`

	folders map[string]string // where drop-ins of the units belong
}

func (r Report) print(w io.Writer, o CheckOptions) error {
	switch o.Form {
	case FormJSON:
		return printJSON(w, r)
	case FormSARIF:
		return printJSON(w, r.sarif())
	case FormFix:
		if o.Write {
			return r.writeFix(w)
		}
		return r.printFix(w)
	}
	return r.printText(w)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printText prints the totals, and then each finding: of a hundred units those without
// one are not named.
func (r Report) printText(w io.Writer) error {
	counts := make(map[check.Severity]int)
	with := make(map[string]bool)
	for _, f := range r.Findings {
		counts[f.Severity]++
		with[f.Unit] = true
	}
	if len(r.Findings) == 0 {
		_, err := fmt.Fprintf(w, "nothing found in %s, for systemd %d\n", counted(len(r.Units)), r.Systemd)
		return err
	}
	_, err := fmt.Fprintf(w, "%d loss, %d ineffective, %d unwise in %d of %s, for systemd %d\n",
		counts[check.Loss], counts[check.Ineffective], counts[check.Unwise], len(with), counted(len(r.Units)), r.Systemd)
	for _, f := range r.Findings {
		_, failed := fmt.Fprintln(w, f)
		err = errors.Join(err, failed)
	}
	return err
}

func counted(units int) string {
	if units == 1 {
		return "1 unit"
	}
	return fmt.Sprintf("%d units", units)
}

// dropInFolder is where an administrator's drop-ins of a unit belong: for units of the
// system's folders in /etc, for others beside them.
func dropInFolder(u *check.Unit) string {
	dir := filepath.Dir(u.Fragment)
	switch {
	case u.Fragment == "" && u.User, slices.Contains(check.UserDirs, dir):
		return "/etc/systemd/user"
	case u.Fragment == "", slices.Contains(check.SystemDirs, dir):
		return "/etc/systemd/system"
	}
	return dir
}

// fixes are the drop-ins, each with its path.
func (r Report) fixes() (files []unitFile) {
	texts := check.DropIns(r.Findings)
	for _, unit := range slices.Sorted(maps.Keys(texts)) {
		files = append(files, unitFile{filepath.Join(r.folders[unit], unit+".d", "zz-handoffd-check.conf"), []byte(texts[unit])})
	}
	return files
}

// printFix prints the drop-ins, each under the path that it may be written to, and
// what takes an editor.
func (r Report) printFix(w io.Writer) error {
	for i, f := range r.fixes() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "# %s\n%s", f.name, f.text)
	}
	return r.printByHand(w)
}

// writeFix writes the drop-ins. To one that is there it adds: what that one mends is no
// finding any more.
func (r Report) writeFix(w io.Writer) error {
	for _, f := range r.fixes() {
		before, err := os.ReadFile(f.name)
		switch {
		case err == nil:
			f.text = append(append(before, '\n'), f.text...)
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("check: %w", err)
		}
		if err := writeUnit(f.name, f.text, true); err != nil {
			return fmt.Errorf("check: %w", err)
		}
		fmt.Fprintln(w, f.name)
	}
	return r.printByHand(w)
}

// printByHand prints what no drop-in can mend.
func (r Report) printByHand(w io.Writer) error {
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
		return printJSON(w, check.Rules())
	}
	var err error
	for _, r := range check.Rules() {
		see := r.Man
		for _, address := range r.Threads() {
			see += ", " + address
		}
		_, err = fmt.Fprintf(w, "%s (%s: %s)\n    %s\n    See %s.\n", r.ID, r.Severity, r.Reason, r.Doc, see)
	}
	return err
}
