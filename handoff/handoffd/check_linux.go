package main

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

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/units/check"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say what in unit files would lose a client",
		ArgsUsage: "FILE|UNIT...",
		Description: "Reads a service and its sockets, with their drop-ins, as systemd merges them. What has\n" +
			"a slash in it, or is in the working folder, is a file; then what belongs to it is\n" +
			"looked for in the same folder. Anything else is a unit of the running manager.\n\n" +
			"A finding is a loss: a client is refused, cut or not answered; or ineffective: systemd\n" +
			"ignores it; or unwise. The exit status is 1 where there is a loss.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "systemd", Usage: "the `VERSION` to check for [that of the running manager, or " + strconv.Itoa(check.Newest) + "]"},
			&cli.BoolFlag{Name: "user", Usage: "units of the user's manager"},
			&cli.BoolFlag{Name: "json", Usage: "as JSON"},
			&cli.BoolFlag{Name: "fix", Usage: "print the drop-ins that mend what drop-ins can"},
			&cli.BoolFlag{Name: "rules", Usage: "list the rules, and why each is there"},
		},
		Action: runCheck,
	}
}

func runCheck(ctx context.Context, c *cli.Command) error {
	w := c.Root().Writer
	if c.Bool("rules") {
		return printRules(w, c.Bool("json"))
	}
	if !c.Args().Present() {
		return usagef("check: no unit: handoffd check [flags] FILE|UNIT...")
	}
	if v := c.Int("systemd"); c.IsSet("systemd") && v < 1 {
		return usagef("check: --systemd %d: want a version such as 252", v)
	}
	manager, err := dialManager(ctx, c.Bool("user"))
	if err == nil {
		defer manager.Close()
	}
	pairs, missing := loadPairs(c.Args().Slice(), manager, err, c.Bool("user"))
	if missing != nil {
		return &usageError{fmt.Errorf("check: %w", missing)}
	}
	r := report{Systemd: c.Int("systemd"), Findings: []check.Finding{}}
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
	if err := r.print(w, c); err != nil {
		return err
	}
	if slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Severity == check.Loss }) {
		return exitError(exitUndone)
	}
	return nil
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

// A report is what check has to say.
type report struct {
	Systemd  int             `json:"systemd"` // the version that was checked for
	Units    []string        `json:"units"`
	Findings []check.Finding `json:"findings"`
}

func (r report) print(w io.Writer, c *cli.Command) error {
	switch {
	case c.Bool("json"):
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case c.Bool("fix"):
		return r.printFix(w, c.Bool("user"))
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
func (r report) printFix(w io.Writer, user bool) error {
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

func printRules(w io.Writer, asJSON bool) error {
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
