package activation

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The variables of sd_listen_fds(3).
const (
	envPID     = "LISTEN_PID"
	envPIDFDID = "LISTEN_PIDFDID"
	envFDs     = "LISTEN_FDS"
	envNames   = "LISTEN_FDNAMES"
)

// The variables of systemd.socket(5) that describe the peer with Accept=yes.
const (
	envRemoteAddr = "REMOTE_ADDR"
	envRemotePort = "REMOTE_PORT"
)

// Unknown is the name of every descriptor where the manager gave no names, or
// not as many as descriptors.
const Unknown = "unknown"

// maxDescriptors bounds what LISTEN_FDS may announce, so that a wrong number
// does not keep Inherit busy for minutes. It is the kernel's default for
// fs.nr_open, the most that one process can have open. RLIMIT_NOFILE would be
// the wrong bound: a process keeps what it held above a limit that was lowered,
// and LimitNOFILE= of a service is lowered after its descriptors are in place.
const maxDescriptors = 1 << 20

// identity is what a process compares LISTEN_PID and LISTEN_PIDFDID with.
type identity struct {
	pid int
	// pidfdID returns the inode number of the process's pidfd, and false where
	// it cannot be had. It is asked only if it is needed.
	pidfdID func() (uint64, bool)
}

// parseEnviron reads the variables and returns one name for each descriptor
// that is passed to the process self. It returns none for another process's
// variables, and ErrNames together with names that can be used.
//
// The rules are those of sd_listen_fds_with_names(3), with two exceptions. Names
// are split raw: the manager does not escape them, so to treat a backslash as
// the C library does would change them. And a wrong number of names does not
// lose the descriptors.
func parseEnviron(lookup func(string) (string, bool), self identity) ([]string, error) {
	pid, ok := lookup(envPID)
	if !ok {
		return nil, nil
	}
	if n, err := strconv.ParseUint(pid, 10, 31); err != nil || n == 0 {
		return nil, variableError(envPID, pid, "want the number of a process")
	} else if int(n) != self.pid {
		return nil, nil
	}
	if id, ok := lookup(envPIDFDID); ok {
		n, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return nil, variableError(envPIDFDID, id, "want the inode number of a pidfd")
		}
		if own, ok := self.pidfdID(); ok && own != n {
			return nil, nil
		}
	}
	fds, ok := lookup(envFDs)
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseUint(fds, 10, 31)
	if err != nil || n == 0 {
		return nil, variableError(envFDs, fds, "want the number of descriptors, 1 or more")
	}
	if n > maxDescriptors {
		return nil, variableError(envFDs, fds, fmt.Sprintf("want at most %d descriptors", maxDescriptors))
	}
	joined, ok := lookup(envNames)
	if !ok {
		return slices.Repeat([]string{Unknown}, int(n)), nil
	}
	// The count comes first: the names may be many, and split they take room.
	if named := strings.Count(joined, ":") + 1; named != int(n) {
		return slices.Repeat([]string{Unknown}, int(n)), fmt.Errorf("activation: %s=%s and %s=%s: %w: %d descriptors, %d names",
			envFDs, quote(fds), envNames, quote(joined), ErrNames, n, named)
	}
	return strings.Split(joined, ":"), nil
}

func variableError(name, value, want string) error {
	return fmt.Errorf("activation: %s=%s: %w: %s", name, quote(value), ErrVariable, want)
}

// quote quotes a variable's value for a message, cut where it would drown it.
func quote(value string) string {
	const most = 200
	if len(value) > most {
		return strconv.Quote(value[:most]) + fmt.Sprintf("... (%d bytes)", len(value))
	}
	return strconv.Quote(value)
}

// CheckName says whether name can name a descriptor in LISTEN_FDNAMES and in the
// manager's store: at most 255 bytes from 0x20 to 0x7e, except ':', as systemd itself
// demands of FileDescriptorName= and FDNAME=. errors.Is finds ErrName in the error.
// The empty name is valid. It is the rule of CheckName in package notify.
func CheckName(name string) error {
	if len(name) > math.MaxUint8 {
		return fmt.Errorf("activation: %w: %s has %d bytes, at most %d are taken", ErrName, quote(name), len(name), math.MaxUint8)
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == ':' {
			return fmt.Errorf("activation: %w: %s holds %q at byte %d", ErrName, quote(name), c, i)
		}
	}
	return nil
}

// Environ returns a copy of env that hands len(names) descriptors to a child,
// the first as number 3: LISTEN_FDS and LISTEN_FDNAMES are added, and what env
// has of LISTEN_* and REMOTE_* from another activation is left out. With no
// names it only leaves out.
//
// LISTEN_PID is missing, since only the child knows its number: without it the
// child inherits nothing. [Start] does all that is needed; Environ is for those
// who start processes by other means.
//
// A name that is not valid is an error that wraps ErrName.
func Environ(env []string, names ...string) ([]string, error) {
	for i, name := range names {
		if err := CheckName(name); err != nil {
			return nil, fmt.Errorf("activation: pass descriptor %d: %w", i, err)
		}
	}
	clean := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		switch key {
		case envPID, envPIDFDID, envFDs, envNames, envRemoteAddr, envRemotePort:
			return true
		}
		return false
	})
	if len(names) == 0 {
		return clean, nil
	}
	return append(clean,
		envFDs+"="+strconv.Itoa(len(names)),
		envNames+"="+strings.Join(names, ":")), nil
}
