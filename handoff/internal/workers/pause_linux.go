package workers

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/procnet"
)

const (
	lookEvery     = 5 * time.Millisecond // at workers that have a connection
	signalEvery   = time.Millisecond     // at those that are to have a signal waiting
	stopTimeout   = 100 * time.Millisecond
	signalTimeout = 2 * time.Second // for a main process to signal its workers
)

// A Program is one whose workers may stand still.
type Program struct {
	Main      int          // the PID of its main process
	Processes func() []int // lists the PIDs of all of them
	Listeners []*os.File   // on which the workers accept; others may, too
}

// A Pause is workers that stand still. It is for one goroutine.
type Pause struct {
	main      int
	processes func() []int
	listeners map[string]bool // by inode
	ports     map[int]bool
	paths     map[string]bool
	still     map[int]int // PIDs, and their pidfds
}

// Begin returns when every worker stands still, or ctx has ended: then those that had
// a connection all the time do not. Where it cannot see who has one, none does. The
// caller calls End in any case.
func Begin(ctx context.Context, p Program) *Pause {
	q := &Pause{
		main: p.Main, processes: p.Processes, listeners: make(map[string]bool),
		ports: make(map[int]bool), paths: make(map[string]bool), still: make(map[int]int),
	}
	for _, l := range p.Listeners {
		q.add(l)
	}
	ticks := time.NewTicker(lookEvery)
	defer ticks.Stop()
	for !q.round() {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return q
		}
	}
	return q
}

// add notes how a listener and its connections are recognised.
func (q *Pause) add(l *os.File) {
	k, err := activation.Inspect(l)
	if err != nil || !k.Listening {
		return
	}
	switch a := k.Addr.(type) {
	case *net.TCPAddr:
		q.ports[a.Port] = true
	case *net.UnixAddr:
		q.paths[a.Name] = true
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) == nil {
			q.listeners[strconv.FormatUint(st.Ino, 10)] = true
		}
	})
}

// round stops those workers that have no connection, and reports whether there are no
// others, or none can be told from them.
func (q *Pause) round() bool {
	connections, known := q.connections()
	if !known {
		return true
	}
	all := true
	var stopped []int
	for _, pid := range q.processes() {
		if _, still := q.still[pid]; still || pid == q.main {
			continue
		}
		sockets := socketsOf(pid)
		switch {
		case !slices.ContainsFunc(sockets, func(inode string) bool { return q.listeners[inode] }):
			// It cannot accept, and may be what a worker waits for.
		case slices.ContainsFunc(sockets, func(inode string) bool { return connections[inode] }):
			all = false
		case q.stop(pid):
			stopped = append(stopped, pid)
		}
	}
	if len(stopped) == 0 {
		return all
	}
	deadline := time.Now().Add(stopTimeout)
	standing := make(map[int]bool)
	for _, pid := range stopped {
		standing[pid] = awaitStopped(pid, deadline)
	}
	connections, known = q.connections()
	for _, pid := range stopped {
		if !known || !standing[pid] || computes(pid) || slices.ContainsFunc(socketsOf(pid), func(inode string) bool { return connections[inode] }) {
			q.goOn(pid)
			all = false
		}
	}
	return all
}

func (q *Pause) stop(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false // it has ended
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0); err != nil {
		unix.Close(fd)
		return false
	}
	q.still[pid] = fd
	return true
}

// goOn does nothing to one that was killed meanwhile.
func (q *Pause) goOn(pid int) {
	unix.PidfdSendSignal(q.still[pid], unix.SIGCONT, nil, 0)
	unix.Close(q.still[pid])
	delete(q.still, pid)
}

// Signalled returns when a signal waits for each worker that stands still, or the main
// process has had time enough for that.
func (q *Pause) Signalled() {
	deadline := time.Now().Add(signalTimeout)
	for pid := range q.still {
		for !signalWaits(pid) && time.Now().Before(deadline) {
			time.Sleep(signalEvery)
		}
	}
}

// End has the workers go on.
func (q *Pause) End() {
	for pid := range q.still {
		q.goOn(pid)
	}
}

// connections returns the inodes of those that were made to the listeners. It knows
// none where the kernel does not show the listeners themselves, as when they are of
// another network namespace (PrivateNetwork= of systemd.exec(5)).
func (q *Pause) connections() (inodes map[string]bool, known bool) {
	inodes = make(map[string]bool)
	shown := 0
	note := func(s procnet.Socket) {
		if q.listeners[s.Inode] {
			shown++
		} else {
			inodes[s.Inode] = true
		}
	}
	if len(q.ports) > 0 {
		for _, s := range procnet.TCP() {
			if q.ports[s.Port] {
				note(s)
			}
		}
	}
	if len(q.paths) > 0 {
		for _, s := range procnet.Unix() {
			if q.paths[s.Path] {
				note(s)
			}
		}
	}
	return inodes, shown == len(q.listeners)
}
