package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cgroups is the part of the cgroup tree that was delegated to the service.
type cgroups struct {
	base   string // the service's own cgroup, as a folder
	clones bool   // a child may be made in another group than this process's
}

// supName is the group of the supervisor itself: a group with processes of its own
// cannot pass controllers on to groups below, cgroups(7).
const supName = "sup"

// openCgroups moves this process into a group of its own below the service's. An
// error says why that is not to be had.
func openCgroups() (*cgroups, error) {
	base, err := cgroupOf("self")
	if err != nil {
		return nil, err
	}
	if err := delegated(base); err != nil {
		return nil, err
	}
	sup := filepath.Join(base, supName)
	if err := os.Mkdir(sup, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(sup, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		os.Remove(sup)
		return nil, err
	}
	c := &cgroups{base: base}
	c.handOn()
	c.clones = c.probe()
	return c, nil
}

// probe finds out whether a child may be made in another cgroup: clone3 of clone(2)
// with CLONE_INTO_CGROUP needs Linux 5.7, and RestrictNamespaces= of systemd.exec(5)
// forbids it. To move a process afterwards takes 10 to 20 ms more where no other has
// just been moved, as the kernel then waits for an RCU grace period.
func (c *cgroups) probe() bool {
	g, err := c.create(0)
	if err != nil {
		return false
	}
	defer g.remove()
	dir, err := os.Open(g.dir)
	if err != nil {
		return false
	}
	defer dir.Close()
	const nothing = "/proc/self/exe/nothing" // no file has files in it, so the child ends at once
	_, err = syscall.ForkExec(nothing, []string{nothing}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())},
	})
	return errors.Is(err, syscall.ENOTDIR)
}

// handOn has the groups below account for what this one may account for. Without
// it status lacks figures, and nothing else.
func (c *cgroups) handOn() {
	controllers, err := os.ReadFile(filepath.Join(c.base, "cgroup.controllers"))
	if err != nil {
		return
	}
	for name := range strings.FieldsSeq(string(controllers)) {
		os.WriteFile(filepath.Join(c.base, "cgroup.subtree_control"), []byte("+"+name), 0)
	}
}

// cgroupOf returns the folder of a process's cgroup, wherever cgroup2 is mounted.
func cgroupOf(pid string) (string, error) {
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return "", err
	}
	var path string
	for line := range strings.Lines(string(text)) {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSuffix(p, "\n")
		}
	}
	if path == "" || strings.HasPrefix(path, "/..") {
		return "", errors.New("there is no cgroup2 hierarchy here")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		root, point, ok := cgroup2Mount(line)
		if !ok {
			continue
		}
		if rel, err := filepath.Rel(root, path); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return filepath.Join(point, rel), nil
		}
	}
	return "", errors.New("no cgroup2 file system is mounted")
}

// cgroup2Mount reads a line of mountinfo, proc_pid_mountinfo(5).
func cgroup2Mount(line string) (root, point string, ok bool) {
	mount, source, _ := strings.Cut(line, " - ")
	fields := strings.Fields(mount)
	if len(fields) < 5 || !strings.HasPrefix(source, "cgroup2 ") {
		return "", "", false
	}
	return unescape(fields[3]), unescape(fields[4]), true
}

// unescape undoes what mountinfo does to spaces and the like.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// delegated reports, as an error, that the manager keeps the group to itself. An
// unprivileged service may not write to such a group anyhow; root must look.
func delegated(dir string) error {
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("%s may not be written to (%w): Delegate=yes, and ProtectControlGroups=private or no, would allow it", dir, err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		var b [8]byte
		n, err := unix.Getxattr(dir, name, b[:])
		if err == nil && string(b[:n]) == "1" {
			return nil
		}
	}
	return fmt.Errorf("%s is not delegated: Delegate=yes is missing", dir)
}

// A cgroup is that of one generation.
type cgroup struct {
	dir string
}

func (c *cgroups) create(number uint64) (*cgroup, error) {
	dir := filepath.Join(c.base, fmt.Sprintf("gen-%d", number))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &cgroup{dir: dir}, nil
}

// populated reports whether a process is in g or below. If that cannot be known,
// there is.
func (g *cgroup) populated() bool {
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return !bytes.Contains(text, []byte("populated 0"))
}

// contains reports whether pid is in g or below.
func (g *cgroup) contains(pid int) bool {
	dir, err := cgroupOf(strconv.Itoa(pid))
	return err == nil && (dir == g.dir || strings.HasPrefix(dir, g.dir+"/"))
}

// kill ends every process in g and below.
func (g *cgroup) kill() error {
	err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Before Linux 5.14. A process that forks meanwhile is met by the next round.
	for range 100 {
		pids := g.processes()
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}

// processes lists those in g and below.
func (g *cgroup) processes() []int {
	var pids []int
	filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		text, _ := os.ReadFile(path)
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// usage returns the memory in bytes and the CPU time in microseconds of g, each -1
// where it is not accounted for.
func (g *cgroup) usage() (memory, cpu int64) {
	memory, cpu = -1, -1
	if text, err := os.ReadFile(filepath.Join(g.dir, "memory.current")); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			memory = n
		}
	}
	if text, err := os.ReadFile(filepath.Join(g.dir, "cpu.stat")); err == nil {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
				if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
					cpu = n
				}
			}
		}
	}
	return memory, cpu
}

// remove removes g and what the generation has made below, once it is empty.
func (g *cgroup) remove() error {
	var dirs []string
	filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var err error
	for i := len(dirs) - 1; i >= 0; i-- {
		err = os.Remove(dirs[i])
	}
	return err
}
