package accepting

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/procnet"
	"github.com/holdfast-go/holdfast/handoff/internal/sockdiag"
)

// A View is what a look at the processes has shown.
type View struct {
	Waits     []Wait
	Processes int      // how many there were
	Denied    []Denial // which of them could not be looked into
	Partial   bool     // there is more than a look reads
	Churn     bool     // a process that has a socket comes and goes by others: maybe clients

	sockets []Socket
	holders map[uint32]int // of the sockets, a PID each
	dormant map[uint32]int // sockets that Go's runtime watches for no goroutine
	others  []uint32       // all other sockets
}

// A Denial is a process that this one may not look into.
type Denial struct {
	PID, UID int // UID is -1 where it is not known
	Reason   string
}

func (d Denial) String() string {
	uid := ""
	if d.UID >= 0 {
		uid = fmt.Sprintf(" of UID %d", d.UID)
	}
	return fmt.Sprintf("cannot look into PID %d%s: %s", d.PID, uid, d.Reason)
}

// note adds what was seen of a process.
func (v *View) note(p *process) {
	if v.holders == nil {
		v.holders, v.dormant = make(map[uint32]int), make(map[uint32]int)
	}
	for _, s := range p.holds {
		if v.holders[s.Inode] == 0 {
			v.holders[s.Inode] = p.pid
		}
	}
	for s := range p.dormant {
		v.dormant[s.Inode] = p.pid
	}
	v.Waits = append(v.Waits, p.waits...)
	v.others = append(v.others, p.others...)
	v.Partial = v.Partial || p.full
}

// Accepts reports whether there is a Wait for each inode in need, or for any socket
// if need is nil.
func (v View) Accepts(need []uint32) bool {
	if need == nil {
		return len(v.Waits) > 0
	}
	return len(v.Missing(need)) == 0
}

// Accepting returns the inodes of the sockets that somebody waits on.
func (v View) Accepting() []uint32 {
	list := make([]uint32, 0, len(v.Waits))
	for _, w := range v.Waits {
		list = append(list, w.Socket.Inode)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Missing returns the sockets of those in need that nobody waits on; nil is all.
func (v View) Missing(need []uint32) []Socket {
	accepting := v.Accepting()
	return slices.DeleteFunc(slices.Clone(v.sockets), func(s Socket) bool {
		return slices.Contains(accepting, s.Inode) || need != nil && !slices.Contains(need, s.Inode)
	})
}

// Doubtful reports whether the processes may accept although nobody was seen to wait:
// there is more than was looked at, or they came and went by sockets that may have been
// clients, and have no listener of their own from which these could be.
func (v View) Doubtful() bool {
	if own, known := listening(v.others); known && len(own) > 0 {
		return v.Partial
	}
	return v.Partial || v.Churn
}

// maxNamed bounds how many sockets a diagnosis names.
const maxNamed = 4

// Diagnosis says why the processes do not accept on the sockets in need (nil is any),
// such as "holds 127.0.0.1:80 and does not wait on it; listens on [::]:9999 itself".
// It is about what the program was given and does, and has no subject.
func (v View) Diagnosis(need []uint32) string {
	missing := v.Missing(need)
	var held, dormant, closed []string
	for _, s := range missing {
		switch {
		case v.dormant[s.Inode] != 0:
			dormant = append(dormant, s.Address)
		case v.holders[s.Inode] != 0:
			held = append(held, s.Address)
		default:
			closed = append(closed, s.Address)
		}
	}
	var parts []string
	say := func(format string, addresses []string) {
		if len(addresses) > 0 {
			parts = append(parts, fmt.Sprintf(format, enumerate(addresses), pronoun(addresses)))
		}
	}
	say("holds %s and does not wait on %s", held)
	say("holds %s, and no goroutine of it accepts on %s", dormant)
	if len(v.Denied) == 0 && !v.Partial {
		say("does not hold %s%.0s", closed)
	}
	if own, _ := listening(v.others); len(own) > 0 {
		parts = append(parts, "listens on "+enumerate(own)+" itself")
	}
	if v.Processes == 0 {
		parts = append(parts, "no process of it is left")
	}
	for i, d := range v.Denied {
		if i == 1 {
			parts = append(parts, fmt.Sprintf("and %d other processes", len(v.Denied)-1))
			break
		}
		parts = append(parts, d.String())
	}
	if v.Churn {
		parts = append(parts, "has had sockets for a moment, which may have been clients")
	}
	if v.Partial {
		parts = append(parts, "it has more processes, threads or descriptors than handoffd looks at")
	}
	return strings.Join(parts, "; ")
}

func enumerate(list []string) string {
	more := ""
	if len(list) > maxNamed {
		list, more = list[:maxNamed], fmt.Sprintf(" and %d more", len(list)-maxNamed)
	}
	return strings.Join(list, ", ") + more
}

func pronoun(list []string) string {
	if len(list) == 1 {
		return "it"
	}
	return "them"
}

// listening returns the addresses of those sockets that are TCP listeners. It knows
// none where the kernel shows none.
func listening(inodes []uint32) (addresses []string, known bool) {
	if len(inodes) == 0 {
		return nil, true
	}
	list, err := sockdiag.Sockets(0, sockdiag.Listen)
	if err == nil {
		for _, s := range list {
			if slices.Contains(inodes, s.Inode) {
				addresses = append(addresses, s.Local.String())
			}
		}
		return addresses, true
	}
	table := procnet.TCP()
	for _, s := range table {
		if s.State == procnet.TCPListen && slices.Contains(inodes, parseInode(s.Inode)) {
			addresses = append(addresses, ":"+strconv.Itoa(s.Port))
		}
	}
	return addresses, len(table) > 0
}

func parseInode(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

// denial says which right is missing: proc(5) and ptrace(2) name the rules.
func denial(pid int, err error) Denial {
	d := Denial{PID: pid, UID: -1, Reason: err.Error()}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				d.UID, _ = strconv.Atoi(fields[0])
			}
		}
	}
	scope, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	switch mine := os.Geteuid(); {
	case hasPtrace():
		// A security module, or a scope that no capability helps against.
		d.Reason += " (kernel.yama.ptrace_scope is " + or(strings.TrimSpace(string(scope)), "not there") + ")"
	case d.UID >= 0 && d.UID != mine:
		d.Reason += fmt.Sprintf(" (UID %d may do that with CAP_SYS_PTRACE only)", mine)
	default:
		d.Reason += " (it takes CAP_SYS_PTRACE, because the program has rights that this process has not, or kernel.yama.ptrace_scope is 2)"
	}
	return d
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// hasPtrace reports whether this process has CAP_SYS_PTRACE.
func hasPtrace() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective>>unix.CAP_SYS_PTRACE&1 != 0
}
