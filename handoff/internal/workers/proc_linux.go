package workers

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func procDir(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid)) }

// socketsOf returns the inodes of a process's sockets, as far as they may be seen.
func socketsOf(pid int) []string {
	dir := filepath.Join(procDir(pid), "fd")
	entries, _ := os.ReadDir(dir)
	var list []string
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			list = append(list, strings.TrimSuffix(inode, "]"))
		}
	}
	return list
}

// awaitStopped reports whether all threads of a process have stopped in time, or have
// ended.
func awaitStopped(pid int, deadline time.Time) bool {
	for !stopped(pid) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(100 * time.Microsecond)
	}
	return true
}

func stopped(pid int) bool {
	stats, _ := filepath.Glob(filepath.Join(procDir(pid), "task/*/stat"))
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// The state is behind the name, which is in parentheses and may hold some.
		_, state, _ := bytes.Cut(text[bytes.LastIndexByte(text, ')')+1:], []byte(" "))
		if len(state) > 0 && !bytes.ContainsRune([]byte("TtZX"), rune(state[0])) {
			return false
		}
	}
	return true
}

// computes reports whether a process that has stopped was in no system call then, as
// far as that may be seen: proc(5), under /proc/pid/syscall. It may be about to make
// one, such as accept(2), which a signal that comes before it does not interrupt.
func computes(pid int) bool {
	text, err := os.ReadFile(filepath.Join(procDir(pid), "syscall"))
	return err == nil && bytes.HasPrefix(text, []byte("-1 "))
}

// notTheEnd are signals that tell no worker to end: of the end of its children.
const notTheEnd = 1 << (unix.SIGCHLD - 1)

// signalWaits reports whether a process that stands still will deal with a signal
// when it goes on, or has ended.
func signalWaits(pid int) bool {
	text, err := os.ReadFile(filepath.Join(procDir(pid), "status"))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		if mask, ok := strings.CutPrefix(line, "ShdPnd:"); ok {
			pending, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err != nil || pending&^notTheEnd != 0
		}
	}
	return true
}
