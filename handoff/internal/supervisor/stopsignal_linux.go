package supervisor

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The real-time signals as the C library counts them, and with it systemd and
// kill(1): it keeps the first two to itself.
const (
	rtMin = 34
	rtMax = 64
)

// ParseStopSignal reads the signal that tells a program to end, by its name, with or
// without SIG, by its number, or as RTMIN+1 or RTMAX-1: see signal(7).
func ParseStopSignal(s string) (syscall.Signal, error) {
	sig := parseSignal(strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	switch sig {
	case 0:
		return 0, fmt.Errorf("%q: there is no such signal", s)
	case unix.SIGSTOP, unix.SIGCONT:
		return 0, fmt.Errorf("%q: it tells no program to end", s)
	}
	return sig, nil
}

// parseSignal returns 0 where there is none of that name.
func parseSignal(name string) syscall.Signal {
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig
	}
	base, offset := 0, name
	for prefix, n := range map[string]int{"RTMIN": rtMin, "RTMAX": rtMax} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && (rest == "" || rest[0] == '+' || rest[0] == '-') {
			base, offset = n, rest
		}
	}
	if base != 0 && offset == "" {
		return syscall.Signal(base)
	}
	n, err := strconv.Atoi(offset)
	if n += base; err != nil || n < 1 || n > rtMax || n > int(unix.SIGSYS) && n < rtMin || base != 0 && n < rtMin {
		return 0
	}
	return syscall.Signal(n)
}
