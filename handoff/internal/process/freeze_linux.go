package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// freezeTimeout bounds the wait until every process stands still. One in an
// uninterruptible sleep does not.
const freezeTimeout = 100 * time.Millisecond

func (g *child) Freeze() (thaw func(), err error) {
	if g.cgroup == nil {
		return nil, errors.New("the generation has no cgroup")
	}
	return freeze(g.cgroup.dir)
}

// freeze has the processes of a cgroup, and of those below, stand still until thaw is
// called: cgroup.freeze of cgroups(7). After an error they do not.
func freeze(dir string) (thaw func(), err error) {
	if err := setFrozen(dir, true); err != nil {
		setFrozen(dir, false)
		return nil, err
	}
	thaw = func() { setFrozen(dir, false) }
	for deadline := time.Now().Add(freezeTimeout); ; time.Sleep(100 * time.Microsecond) {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err == nil && bytes.Contains(text, []byte("frozen 1")) {
			return thaw, nil
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("%s: not all processes stand still after %v", dir, freezeTimeout)
		}
		if err != nil {
			thaw()
			return nil, err
		}
	}
}

// thaw has the processes of all generations go on. A program before this one may have
// been killed, or replaced, before it thawed what it had frozen.
func (c *cgroups) thaw() error {
	paths, _ := filepath.Glob(filepath.Join(c.base, "gen-*", "cgroup.freeze"))
	var errs []error
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil && bytes.HasPrefix(text, []byte("1")) {
			errs = append(errs, setFrozen(filepath.Dir(path), false))
		}
	}
	return errors.Join(errs...)
}

func setFrozen(dir string, frozen bool) error {
	value := "0"
	if frozen {
		value = "1"
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte(value), 0)
}
