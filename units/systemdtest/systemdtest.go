package systemdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/systemdtest/internal/roots"
)

// Options says what a machine is made of. The zero value is the host's own root
// folder.
type Options struct {
	// Root is the folder that becomes the machine's root folder, such as one
	// that mkroot has built. It is read, never written. Empty means the host's.
	Root string

	// Packages are Debian packages that the test needs, beyond those of every
	// root. For each set of them there are roots of their own, which mkroot builds
	// with its flag -packages and Run takes. A root that is not mkroot's must
	// have them.
	Packages []string

	// All is what the word "all" in HOLDFAST_SYSTEMD means to Run, for a test that
	// need not run on each: {"252", "262"}, say. nil is each.
	All []string
}

// Boot starts a machine and returns it once its systemd has finished starting
// up. The machine is gone when t and its subtests have ended. If t fails, the
// machine's console and the end of its journal are logged.
//
// Where no machine can run (the package comment says what it takes), Boot skips
// t and says why, or fails it if HOLDFAST_E2E is "require". A machine that
// should run and does not fails t. HOLDFAST_SYSTEMD is for Run alone.
func Boot(t testing.TB, o Options) *Machine {
	t.Helper()
	root := o.Root
	if root == "" {
		root = "/"
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
	defer cancel()
	m, err := boot(ctx, t, root, o.Packages)
	refuse(t, err)
	return m
}

// Run runs f once for each systemd that HOLDFAST_SYSTEMD names, one after the
// other, each as a subtest with a machine of its own.
//
// The variable holds words with commas between them. "247", "252", "257" and
// "262" mean the roots that mkroot builds, "all" means those four or o.All, and "host",
// like no variable at all, means o.Root. The subtests are called systemd-247
// and so on.
func Run(t *testing.T, o Options, f func(t *testing.T, m *Machine)) {
	t.Helper()
	targets, err := choose(os.Getenv("HOLDFAST_SYSTEMD"), o.All)
	if err != nil {
		t.Fatalf("systemdtest: %v", err)
	}
	for _, name := range targets {
		root := o.Root
		if name == hostTarget {
			name = hostName(root)
		} else if root, err = namedRoot(name, o.Packages); err != nil {
			t.Fatalf("systemdtest: %v", err)
		}
		t.Run("systemd-"+name, func(t *testing.T) {
			f(t, Boot(t, Options{Root: root, Packages: o.Packages}))
		})
	}
}

// bootTimeout bounds the way from the first process to `running`. A boot takes
// half a second; the rest is for a host that is busy.
const bootTimeout = 2 * time.Minute

const hostTarget = "host"

// choose reads HOLDFAST_SYSTEMD: the roots' names or hostTarget, each once. all is
// Options.All.
func choose(value string, all []string) ([]string, error) {
	if all == nil {
		all = roots.Names()
	}
	var chosen []string
	add := func(name string) {
		if !slices.Contains(chosen, name) {
			chosen = append(chosen, name)
		}
	}
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		switch {
		case word == hostTarget, value == "":
			add(hostTarget)
		case word == "all":
			for _, name := range all {
				add(name)
			}
		case slices.Contains(roots.Names(), word):
			add(word)
		default:
			return nil, fmt.Errorf("HOLDFAST_SYSTEMD=%q: the word %q is none of host, all, %s",
				value, word, strings.Join(roots.Names(), ", "))
		}
	}
	return chosen, nil
}

// hostName names the subtest of a root by its version, where it can be had.
func hostName(root string) string {
	if root == "" {
		root = "/"
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if version, err := roots.Version(ctx, root); err == nil {
		return fmt.Sprint(version)
	}
	return hostTarget
}

func namedRoot(name string, packages []string) (string, error) {
	recipe, err := roots.Find(name)
	if err != nil {
		return "", err
	}
	folder, err := roots.Folder()
	if err != nil {
		return "", err
	}
	return recipe.With(packages).Path(folder), nil
}

// errCannot marks what is missing from the place and not from the test.
var errCannot = errors.New("no machine can run here")

func cannot(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errCannot, fmt.Errorf(format, args...))
}

// refuse ends t if there is an error, by skipping it where no machine can run.
func refuse(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errCannot) && os.Getenv("HOLDFAST_E2E") != "require":
		t.Skipf("systemdtest: %v", err)
	default:
		t.Fatalf("systemdtest: %v", err)
	}
}
