package roots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// packages is what a root holds beyond apt: systemd with user managers, and
// what tests like to find. mount is named since sid's systemd does without it.
var packages = []string{"systemd", "systemd-sysv", "dbus", "libpam-systemd", "mount", "procps", "iproute2", "python3"}

const (
	// DefaultMirror serves every suite of Recipes.
	DefaultMirror = "http://deb.debian.org/debian"

	keyring   = "/usr/share/keyrings/debian-archive-keyring.gpg"
	mergedUsr = "/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh" // of mmdebstrap's package
	stamp     = "etc/holdfast-recipe"                               // what the root was made by
	aside     = ".building-"
)

// Options says how to build.
type Options struct {
	Mirror string    // empty: DefaultMirror
	Force  bool      // build also what is there already
	Log    io.Writer // gets what mmdebstrap prints; nil: nobody
}

// arguments are mmdebstrap's before the target folder and after it.
func (r Recipe) arguments(mirror string) (before, sources []string) {
	include, mixed := slices.Clone(packages), []string(nil)
	sources = []string{mirror}
	for _, p := range r.Packages {
		backports, ok := r.Backports[p]
		if !ok {
			include = append(include, p)
			continue
		}
		for _, p := range backports {
			include = append(include, p+"/"+r.Later)
		}
		sources = []string{fmt.Sprintf("deb %s %s main", mirror, r.Suite), fmt.Sprintf("deb %s %s main", mirror, r.Later)}
		mixed = []string{
			fmt.Sprintf("--aptopt=APT::Default-Release %q", r.Suite),
			// trixie's base-files refuses a /bin that is not a link.
			"--setup-hook=" + mergedUsr,
		}
	}
	return slices.Concat([]string{
		"--mode=root", "--format=directory", "--variant=apt",
		"--include=" + strings.Join(include, ","),
		// An old release's index is past its date.
		`--aptopt=Acquire::Check-Valid-Until "false"`,
		`--aptopt=Acquire::Retries "3"`,
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--keyring=" + keyring,
	}, mixed, []string{r.Suite}), sources
}

// Build makes the root of r in folder, unless it is there and made by the same
// recipe. It reports whether it built one. A reader of the folder sees the old
// root or the new one, never half of one.
func (r Recipe) Build(ctx context.Context, folder string, o Options) (built bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("root %s: %w", filepath.Base(r.Path(folder)), err)
		}
	}()
	if o.Mirror == "" {
		o.Mirror = DefaultMirror
	}
	before, sources := r.arguments(o.Mirror)
	recipe := "mmdebstrap " + strings.Join(slices.Concat(before, sources), " ") + "\n"
	current := func() bool {
		made, err := os.ReadFile(filepath.Join(r.Path(folder), stamp))
		return err == nil && string(made) == recipe && !o.Force
	}
	if current() {
		return false, nil
	}
	if err := able(); err != nil {
		return false, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return false, err
	}
	unlock, err := lock(ctx, folder)
	if err != nil {
		return false, err
	}
	defer unlock()
	if current() {
		return false, nil // somebody built it while this call waited
	}
	// What is aside while the lock is ours was left by a build that was killed.
	left, _ := filepath.Glob(filepath.Join(folder, aside+"*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return false, err
		}
	}
	work, err := os.MkdirTemp(folder, aside)
	if err != nil {
		return false, err
	}
	defer func() {
		if e := os.RemoveAll(work); err == nil {
			err = e
		}
	}()
	root := filepath.Join(work, "new")
	if err := debootstrap(ctx, slices.Concat(before, []string{root}, sources), o.Log); err != nil {
		return false, err
	}
	if _, err := Version(ctx, root); err != nil {
		return false, fmt.Errorf("the new root does not work: %w", err)
	}
	if err := os.WriteFile(filepath.Join(root, stamp), []byte(recipe), 0o644); err != nil {
		return false, err
	}
	if err := os.Rename(r.Path(folder), filepath.Join(work, "old")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	return true, os.Rename(root, r.Path(folder))
}

// able says what is missing to build roots.
func able() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it takes root to build a root folder, and this is user %d", os.Geteuid())
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("no program mmdebstrap: install it (Debian and Ubuntu: apt-get install mmdebstrap debian-archive-keyring)")
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("no keys of the Debian archive: %w (Debian and Ubuntu: apt-get install debian-archive-keyring)", err)
	}
	return nil
}

func debootstrap(ctx context.Context, arguments []string, log io.Writer) error {
	cmd := exec.CommandContext(ctx, "mmdebstrap", arguments...)
	// mmdebstrap removes its mounts and processes when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var said strings.Builder
	cmd.Stdout = &said
	if log != nil {
		cmd.Stdout = io.MultiWriter(&said, log)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("mmdebstrap: %w\n%s", err, tail(said.String(), 20))
	}
	return nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// lock waits until no other process builds in folder.
func lock(ctx context.Context, folder string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	locked := make(chan error, 1)
	go func() { locked <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		go func() { <-locked; f.Close() }()
		return nil, fmt.Errorf("another process builds in %s: %w", folder, context.Cause(ctx))
	}
}

// Version asks the systemd in root for its version.
func Version(ctx context.Context, root string) (int, error) {
	program := "/usr/bin/systemctl"
	if _, err := os.Lstat(filepath.Join(root, program)); err != nil {
		program = "/bin/systemctl"
	}
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("systemctl --version in %s: %w", root, err)
	}
	return ParseVersion(string(out))
}
