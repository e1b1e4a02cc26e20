package systemdtest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Options chooses what a machine is made of. The zero value is the host's own
// root folder.
type Options struct {
	// Root is the folder that is the machine's root. It is only read. Empty
	// means the host's own.
	Root string
}

// errCannot marks that a machine cannot run here, through no fault of the test.
var errCannot = errors.New("no machine can run here")

func cannot(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errCannot, fmt.Errorf(format, args...))
}

// Boot starts a machine and returns it when its systemd has started up. The
// machine ends with t.
func Boot(t testing.TB, o Options) *Machine {
	t.Helper()
	m, err := boot(t, o.Root)
	refuse(t, err)
	return m
}

// refuse ends t if there is an error: as skipped where no machine can run.
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

// Run runs f once for each systemd that HOLDFAST_SYSTEMD names.
func Run(t *testing.T, o Options, f func(t *testing.T, m *Machine)) {
	t.Helper()
	targets, err := choose(os.Getenv("HOLDFAST_SYSTEMD"), o.Root)
	if err != nil {
		t.Fatalf("systemdtest: %v", err)
	}
	for _, target := range targets {
		t.Run("systemd-"+target.name, func(t *testing.T) {
			f(t, Boot(t, Options{Root: target.root}))
		})
	}
}

type target struct{ name, root string }

// choose reads HOLDFAST_SYSTEMD.
func choose(value, root string) ([]target, error) {
	known := []string{"247", "252", "257", "262"}
	if value == "all" {
		value = strings.Join(known, ",")
	}
	var targets []target
	for word := range strings.SplitSeq(value, ",") {
		switch word = strings.TrimSpace(word); word {
		case "", "host":
			targets = append(targets, target{"host", root})
		case "247", "252", "257", "262":
			targets = append(targets, target{word, rootsFolder() + "/systemd-" + word})
		default:
			return nil, fmt.Errorf("HOLDFAST_SYSTEMD: %q is none of host, all, %s", word, strings.Join(known, ", "))
		}
	}
	return targets, nil
}

func rootsFolder() string {
	if dir := os.Getenv("HOLDFAST_ROOTS"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "/root/.cache"
	}
	return dir + "/holdfast/roots"
}

// parseVersion reads the first line of `systemctl --version`.
func parseVersion(out string) (int, error) {
	fields := strings.Fields(out)
	if len(fields) > 1 && fields[0] == "systemd" {
		digits := fields[1]
		if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = digits[:i]
		}
		if n, err := strconv.Atoi(digits); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("systemctl --version says %q", out)
}
