package systemdtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/units/systemdtest/internal/roots"
)

// host is what a machine needs to know of the place it runs in.
type host struct {
	euid      int
	mountinfo string // /proc/self/mountinfo
	cgroup    string // /proc/self/cgroup
	find      func(program string) (string, error)
}

func thisHost() (host, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return host{}, err
	}
	cgroup, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return host{}, err
	}
	return host{os.Geteuid(), string(mountinfo), string(cgroup), findProgram}, nil
}

// programs are the host's programs that a machine is made with, and the package
// each comes with.
var programs = []struct{ name, from string }{
	{"sh", "dash or another shell"},
	{"cat", "coreutils"},
	{"find", "findutils"},
	{"mount", "mount or util-linux"},
	{"nsenter", "util-linux"},
	{"pivot_root", "util-linux"},
	{"setpriv", "util-linux"},
}

// findProgram also looks where root's programs are: PATH may be a user's.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(dir + name)
	}
	return path, err
}

// place is where a machine can run.
type place struct {
	root     string
	cgroups  []string          // folders that may take its cgroup, the best first
	programs map[string]string // the paths of the host's, by name
}

// look finds what a machine with this root folder needs, or says what is
// missing.
func (h host) look(root string) (place, error) {
	if h.euid != 0 {
		return place{}, cannot("it takes root to make namespaces, and this is user %d", h.euid)
	}
	p := place{cgroups: cgroupPlaces(h.mountinfo, h.cgroup), programs: make(map[string]string)}
	if len(p.cgroups) == 0 {
		return place{}, cannot("no cgroup2 file system is mounted (mount -t cgroup2 none /sys/fs/cgroup)")
	}
	for _, program := range programs {
		path, err := h.find(program.name)
		if err != nil {
			return place{}, cannot("no program %s: install %s", program.name, program.from)
		}
		p.programs[program.name] = path
	}
	var err error
	if p.root, err = filepath.Abs(root); err != nil {
		return place{}, err
	}
	if _, err := os.Stat(p.root); err != nil {
		return place{}, cannot("no root folder: %w%s", err, advice(p.root))
	}
	if !hasSystemd(p.root) {
		return place{}, cannot("no systemd in %s; others can be built with: %s all, and chosen with HOLDFAST_SYSTEMD", p.root, roots.Command)
	}
	return p, nil
}

// lacking says which of the packages the root is without.
func lacking(root string, packages []string) error {
	missing, err := roots.Lacking(root, packages)
	if err != nil {
		return cannot("the packages of %s cannot be told: %w", root, err)
	}
	if len(missing) > 0 {
		return cannot("%s is without %s; roots with all that is asked for can be built with: %s -packages %s all, and chosen with HOLDFAST_SYSTEMD",
			root, strings.Join(missing, ", "), roots.Command, strings.Join(packages, ","))
	}
	return nil
}

// advice says how to build a root that mkroot knows.
func advice(root string) string {
	folder, err := roots.Folder()
	if err != nil {
		return ""
	}
	command := roots.Advice(folder, root)
	if command == "" {
		return ""
	}
	return "; build it with: " + command
}

func hasSystemd(root string) bool {
	for _, f := range []string{"usr/lib/systemd/systemd", "lib/systemd/systemd"} {
		if _, err := os.Lstat(filepath.Join(root, f)); err == nil {
			return true
		}
	}
	return false
}

// cgroupPlaces lists the folders in which a cgroup for a machine may be made.
// The top of the hierarchy comes first: controllers are enabled there, where
// they are at all, and the cgroup of this process holds processes, so that it
// can hand no controllers down (cgroups(7), "no internal processes").
func cgroupPlaces(mountinfo, self string) []string {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		top, point := unescape(fields[3]), unescape(fields[4])
		places := []string{point}
		for line := range strings.Lines(self) {
			own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
			if !ok || strings.HasPrefix(own, "/..") { // outside the namespace
				continue
			}
			if own, err := filepath.Rel(top, own); err == nil && filepath.IsLocal(own) && own != "." {
				places = append(places, filepath.Join(point, own))
			}
		}
		return places
	}
	return nil
}

// unescape undoes the octal escapes of proc_pid_mountinfo(5).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// newGroup makes a cgroup in the first of the places that takes one.
func newGroup(places []string) (string, error) {
	name, err := newName()
	if err != nil {
		return "", err
	}
	var all error
	for _, dir := range places {
		group := filepath.Join(dir, name)
		err := os.Mkdir(group, 0o755)
		if err == nil {
			return group, nil
		}
		all = errors.Join(all, err)
	}
	return "", cannot("no cgroup can be made: %w", all)
}

// sweep removes the cgroups and folders of owners that died together with their
// reapers. What it cannot remove it leaves to the next one.
func sweep(cgroups []string) {
	for _, dir := range append(slices.Clone(cgroups), os.TempDir()) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !abandoned(e.Name()) {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if slices.Contains(cgroups, dir) {
				_ = reapNow(path)
			} else {
				_ = os.RemoveAll(path)
			}
		}
	}
}

// namePrefix begins the names of what a machine leaves in sight of the host.
const namePrefix = "holdfast-"

// abandoned reports whether name was made by newName in a process that is gone.
// Whether one of another PID namespace is gone cannot be seen from here.
func abandoned(name string) bool {
	rest, ok := strings.CutPrefix(name, namePrefix)
	parts := strings.Split(rest, "-")
	if !ok || len(parts) != 4 {
		return false
	}
	me, err := identity("self")
	if err != nil || parts[0] != strings.Split(me, "-")[0] {
		return false
	}
	owner, err := identity(parts[1])
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return owner != strings.Join(parts[:3], "-")
}

// identity names a process for as long as the kernel runs: by its PID namespace,
// its PID in it, and its start time.
func identity(pid string) (string, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", err
	}
	ns, err := os.Readlink("/proc/" + pid + "/ns/pid") // pid:[4026531836]
	if err != nil {
		return "", err
	}
	number, rest, _ := strings.Cut(string(stat), " ")
	// The second field is the program's name in brackets, which may hold
	// blanks and brackets. The start time is field 22 of proc_pid_stat(5).
	fields := strings.Fields(rest[strings.LastIndexByte(rest, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%s/stat: %q is too short", pid, stat)
	}
	return fmt.Sprintf("%s-%s-%s", strings.Trim(ns, "pid:[]"), number, fields[19]), nil
}
