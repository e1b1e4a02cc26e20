package tools

import (
	"context"
	"fmt"
	"io"
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
	Form    Form     // what is printed
	Write   bool     // with FormFix: write the drop-ins, and print their paths
}

// A Form is one in which Check prints what it has found.
type Form int

const (
	FormText  Form = iota // for people
	FormJSON              // a Report
	FormSARIF             // what code hosts read (SARIF 2.1.0)
	FormFix               // drop-ins that mend what drop-ins can
)

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
	r.folders = make(map[string]string)
	for _, p := range pairs {
		for _, u := range p.Units() {
			if _, twice := r.folders[u.Name]; !twice { // a socket of two pairs
				r.Units = append(r.Units, u.Name)
				r.folders[u.Name] = dropInFolder(u)
			}
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
			if dir = filepath.Clean(dir); !slices.Contains(folders, dir) {
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
				src.Dirs, src.Complete = check.SystemDirs, true
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
			src = check.Folders{Dirs: check.SystemDirs, Complete: true}
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
