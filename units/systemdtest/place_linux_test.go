package systemdtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	pure      = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	container = "30 23 0:26 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
)

func TestCgroupPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		mountinfo, self string
		want            []string
	}{
		"hybrid":                 {hybrid, "4:memory:/x\n0::/\n", []string{"/sys/fs/cgroup/unified"}},
		"under systemd":          {pure, "0::/user.slice/session-3.scope\n", []string{"/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session-3.scope"}},
		"no namespace":           {container, "0::/docker/ab/me\n", []string{"/sys/fs/cgroup", "/sys/fs/cgroup/me"}},
		"at the container's top": {container, "0::/docker/ab\n", []string{"/sys/fs/cgroup"}},
		"outside the mount":      {container, "0::/other\n", []string{"/sys/fs/cgroup"}},
		"outside the namespace":  {pure, "0::/../other\n", []string{"/sys/fs/cgroup"}},
		"escaped":                {"1 2 0:3 / /c\\040g rw - cgroup2 none rw\n", "", []string{"/c g"}},
		"version 1 only":         {strings.Split(hybrid, "41")[0], "0::/\n", nil},
		"nothing":                {"", "", nil},
	} {
		if got := cgroupPlaces(c.mountinfo, c.self); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzCgroupPlaces(f *testing.F) {
	f.Add(hybrid, "0::/\n")
	f.Add(pure, "0::/user.slice/session-3.scope\n")
	f.Add(container, "0::/docker/ab/me\n")
	f.Add("1 2 0:3 \\057 \\04 rw - cgroup2 ", "0::")
	f.Fuzz(func(t *testing.T, mountinfo, self string) {
		places := cgroupPlaces(mountinfo, self)
		for _, p := range places[min(1, len(places)):] {
			if rel, err := filepath.Rel(places[0], p); err != nil || !filepath.IsLocal(rel) {
				t.Errorf("%q is not below %q", p, places[0])
			}
		}
	})
}

// TestLookSaysWhatIsMissing checks the reason for each skip.
func TestLookSaysWhatIsMissing(t *testing.T) {
	empty := t.TempDir()
	root := t.TempDir()
	program := filepath.Join(root, "usr/lib/systemd/systemd")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOLDFAST_ROOTS", empty)
	good := host{mountinfo: pure, find: func(name string) (string, error) { return "/bin/" + name, nil }}
	without := func(gone string) host {
		h := good
		h.find = func(name string) (string, error) {
			if name == gone {
				return "", exec.ErrNotFound
			}
			return "/bin/" + name, nil
		}
		return h
	}
	user, noCgroup := good, good
	user.euid = 1000
	noCgroup.mountinfo = ""
	for name, c := range map[string]struct {
		host host
		root string
		want string
	}{
		"a user":          {user, root, "it takes root to make namespaces, and this is user 1000"},
		"no cgroup2":      {noCgroup, root, "no cgroup2 file system is mounted"},
		"no nsenter":      {without("nsenter"), root, "no program nsenter: install util-linux"},
		"no mount":        {without("mount"), root, "no program mount: install mount or util-linux"},
		"no find":         {without("find"), root, "no program find: install findutils"},
		"no such root":    {good, empty + "/none", "no root folder: stat " + empty + "/none: no such file or directory"},
		"a root unbuilt":  {good, empty + "/systemd-257", "build it with: go run github.com/holdfast-go/holdfast/units/systemdtest/mkroot 257"},
		"more unbuilt":    {good, empty + "/systemd-257,gunicorn,starman", "mkroot -packages gunicorn,starman 257"},
		"without systemd": {good, empty, "no systemd in " + empty + "; others can be built with: go run"},
	} {
		_, err := c.host.look(c.root)
		if !errors.Is(err, errCannot) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
	if p, err := good.look(root); err != nil || p.programs["nsenter"] != "/bin/nsenter" || p.root != root {
		t.Errorf("with everything there: %+v, %v", p, err)
	}
}

func TestRefusedNamespacesAreASkip(t *testing.T) {
	for _, errno := range []error{unix.EPERM, unix.ENOSYS, unix.ENOSPC} {
		err := refused(&fs.PathError{Op: "fork/exec", Path: "/bin/sh", Err: errno})
		if !errors.Is(err, errCannot) || !errors.Is(err, errno) || !strings.Contains(err.Error(), "the kernel refuses") {
			t.Errorf("%v becomes %v", errno, err)
		}
	}
	if err := refused(unix.ENOMEM); errors.Is(err, errCannot) {
		t.Errorf("a lack of memory is taken for the host's refusal: %v", err)
	}
}

func TestNoPlaceForACgroupIsASkip(t *testing.T) {
	_, err := newGroup([]string{"/proc/none", "/dev/null"})
	if !errors.Is(err, errCannot) || !strings.Contains(err.Error(), "/proc/none") || !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("error %v, want one that names both places", err)
	}
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		e2e             string
		err             error
		skipped, failed bool
	}{
		{"", nil, false, false},
		{"", cannot("no moon"), true, false},
		{"require", cannot("no moon"), false, true},
		{"", errors.New("no moon"), false, true},
		{"require", errors.New("no moon"), false, true},
	} {
		t.Setenv("HOLDFAST_E2E", c.e2e)
		r := judge(t, func(t testing.TB) { refuse(t, c.err) })
		if r.skipped != c.skipped || r.failed != c.failed {
			t.Errorf("HOLDFAST_E2E=%s, %v: skipped %t, failed %t", c.e2e, c.err, r.skipped, r.failed)
		}
		if c.err != nil && !strings.Contains(r.said, "no moon") {
			t.Errorf("HOLDFAST_E2E=%s: the reason is not in %q", c.e2e, r.said)
		}
	}
}

func TestOwnersAreToldApart(t *testing.T) {
	name, err := newName()
	if err != nil {
		t.Fatal(err)
	}
	if abandoned(name) {
		t.Errorf("%s belongs to this process, and is taken for abandoned", name)
	}
	parts := strings.Split(name, "-") // holdfast, namespace, PID, start, number
	if len(parts) != 5 {
		t.Fatalf("the name %q has %d parts", name, len(parts))
	}
	change := func(i int, to string) string {
		p := slices.Clone(parts)
		p[i] = to
		return strings.Join(p, "-")
	}
	for name, want := range map[string]bool{
		change(3, "1"):                  true,  // an earlier process of this PID
		change(2, "4194305"):            true,  // beyond the kernel's greatest PID
		change(1, "1"):                  false, // another PID namespace
		change(0, "other"):              false,
		"holdfast-build":                false,
		"holdfast-":                     false,
		"holdfast-1-2-3":                false,
		strings.Join(parts[:4], "-"):    false,
		strings.Join(parts, "-") + "-x": false,
	} {
		if got := abandoned(name); got != want {
			t.Errorf("abandoned(%q) = %t", name, got)
		}
	}
}
