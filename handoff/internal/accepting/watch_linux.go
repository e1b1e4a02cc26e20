package accepting

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/procnet"
	"github.com/holdfast-go/holdfast/handoff/internal/sockdiag"
)

// A Wait says how a process is seen to accept on a socket.
type Wait struct {
	PID    int
	Socket Socket
	By     string // epoll, the name of a system call, io_uring, or: an accepted connection
}

// byConnection is the By of a process that holds a connection.
const byConnection = "an accepted connection"

// A Watch looks at the processes of one generation. It is for one goroutine at a
// time.
type Watch struct {
	sockets   []Socket
	byInode   map[uint32]*Socket
	processes func() []int
	before    map[uint32]bool  // connections that were there when it was made
	asked     bool             // the last look had to ask for connections
	had       map[int][]uint32 // by PID: the other sockets that it had in the last look
	signalled map[signal]bool  // seen in a look before
}

// New returns a Watch for processes that are to wait on the sockets. processes lists
// the PIDs. New must come before the program is started, because a connection that
// was there before (one that the fd store has kept, say) does not show that the
// program accepts.
func New(sockets []Socket, processes func() []int) *Watch {
	w := &Watch{sockets: sockets, byInode: make(map[uint32]*Socket), processes: processes, before: make(map[uint32]bool), had: make(map[int][]uint32), signalled: make(map[signal]bool)}
	for i := range sockets {
		w.byInode[sockets[i].Inode] = &sockets[i]
	}
	for inode := range w.connections() {
		w.before[inode] = true
	}
	return w
}

// Look looks once: 0.2 to 5 ms of work. It blocks for no process.
func (w *Watch) Look() View {
	v := View{sockets: w.sockets}
	pids := w.processes()
	if len(pids) > maxProcesses {
		pids, v.Partial = pids[:maxProcesses], true
	}
	threads := maxThreads
	var candidates []*process
	var connections map[uint32]*Socket
	if w.asked {
		// A worker that is busy has each connection for a moment only: one that is there
		// now may be gone when its descriptors have been read, and the other way round.
		connections = w.connections()
	}
	for _, pid := range pids {
		p, err := inspect(pid, w.byInode, &threads)
		if err == errGone {
			continue
		}
		v.Processes++
		if err != nil {
			v.Denied = append(v.Denied, denial(pid, err))
		}
		w.noteTaken(p)
		v.note(p)
		if len(p.others) > 0 {
			candidates = append(candidates, p)
			if len(p.holds) > 0 {
				w.noteUnix(&v, p)
			}
		}
		w.noteChurn(&v, p)
		if threads <= 0 {
			v.Partial = true
			break
		}
	}
	if w.asked = len(candidates) > 0 && len(v.Missing(nil)) > 0; w.asked {
		w.byConnections(&v, candidates, connections, w.connections())
	}
	return v
}

// A signal is that of a client to a process of Go, for a socket by its inode.
type signal struct {
	pid   int
	inode uint32
}

// noteTaken adds what Go's runtime tells of a process that has been too busy to wait: a
// client was signalled in a look before, and Accept has taken that since.
func (w *Watch) noteTaken(p *process) {
	for s, signalled := range p.dormant {
		key := signal{p.pid, s.Inode}
		if signalled {
			w.signalled[key] = true
		} else if w.signalled[key] {
			p.add(s, "epoll")
			delete(p.dormant, s)
		}
	}
}

// maxAsked bounds how many sockets of one process the kernel is asked about.
const maxAsked = 64

// noteUnix adds the process if it holds a connection to a Unix listener. It asks at
// once for each socket, because a worker that is busy has a connection for a moment.
func (w *Watch) noteUnix(v *View, p *process) {
	byPath := make(map[string]*Socket)
	for i := range w.sockets {
		if s := &w.sockets[i]; s.stream && s.path != "" {
			byPath[s.path] = s
		}
	}
	if len(byPath) == 0 {
		return
	}
	for _, inode := range p.others[max(len(p.others)-maxAsked, 0):] {
		if w.before[inode] {
			continue
		}
		if u, err := sockdiag.UnixSocket(inode); err == nil && byPath[u.Name] != nil {
			v.Waits = append(v.Waits, Wait{PID: p.pid, Socket: *byPath[u.Name], By: byConnection})
		}
	}
}

// noteChurn notes that a process that has a socket comes and goes by others. They may be
// connections all the same: one that came to a Unix socket from another network
// namespace belongs to that, so neither /proc/net/unix nor sock_diag(7) shows it here.
func (w *Watch) noteChurn(v *View, p *process) {
	if len(p.holds) == 0 {
		return
	}
	if had, ok := w.had[p.pid]; ok && slices.ContainsFunc(had, func(inode uint32) bool { return !w.before[inode] && !slices.Contains(p.others, inode) }) {
		v.Churn = true
	}
	w.had[p.pid] = p.others
}

// byConnections adds the processes that hold one of the connections.
func (w *Watch) byConnections(v *View, candidates []*process, connections ...map[uint32]*Socket) {
	for _, p := range candidates {
		for _, inode := range p.others {
			for _, c := range connections {
				if s := c[inode]; s != nil && !w.before[inode] {
					v.Waits = append(v.Waits, Wait{PID: p.pid, Socket: *s, By: byConnection})
				}
			}
		}
	}
}

// connections returns those that were accepted from the sockets, by inode.
func (w *Watch) connections() map[uint32]*Socket {
	list := make(map[uint32]*Socket)
	for i := range w.sockets {
		s := &w.sockets[i]
		switch {
		case s.tcp.IsValid():
			connections, err := sockdiag.Sockets(s.tcp.Port(), sockdiag.Established, sockdiag.CloseWait)
			if err != nil {
				connections = tableOf(s.tcp)
			}
			for _, c := range connections {
				if c.Inode != 0 && s.accepted(c.Local) {
					list[c.Inode] = s
				}
			}
		case s.stream && s.path != "":
			for _, c := range procnet.Unix() {
				if inode := parseInode(c.Inode); c.Path == s.path && c.State == procnet.UnixConnected && inode != 0 {
					list[inode] = s
				}
			}
		}
	}
	return list
}

// tableOf returns the connections to the port of a listener where the kernel cannot be
// asked otherwise: what /proc/net/tcp has of them, which is not their addresses.
func tableOf(listener netip.AddrPort) (list []sockdiag.TCP) {
	for _, c := range procnet.TCP() {
		state := sockdiag.State(c.State)
		if c.Port == int(listener.Port()) && (state == sockdiag.Established || state == sockdiag.CloseWait) {
			list = append(list, sockdiag.TCP{Local: listener, State: state, Inode: parseInode(c.Inode)})
		}
	}
	return list
}

// How often Await looks.
const (
	firstPause  = 2 * time.Millisecond
	lastPause   = 100 * time.Millisecond
	restFactor  = 20                     // a look that took long is followed by so much more rest,
	longestRest = 300 * time.Millisecond // and not more: it may be the machine that is busy
)

// Await looks until the processes accept on all sockets whose inodes are in need, or
// on any if need is nil. It returns what it has seen, and ctx's error if that came
// first. Whatever was seen once counts: a worker that is busy waits for nobody.
// progress, if not nil, is called after each look.
func (w *Watch) Await(ctx context.Context, need []uint32, progress func(View)) (View, error) {
	var seen []Wait
	churn := false
	pause := firstPause
	for {
		began := time.Now()
		v := w.Look()
		for _, wait := range v.Waits {
			if !slices.ContainsFunc(seen, func(s Wait) bool { return s.Socket.Inode == wait.Socket.Inode }) {
				seen = append(seen, wait)
			}
		}
		churn = churn || v.Churn
		v.Waits, v.Churn = slices.Clone(seen), churn
		if progress != nil {
			progress(v)
		}
		if v.Accepts(need) {
			return v, nil
		}
		timer := time.NewTimer(max(pause, min(restFactor*time.Since(began), longestRest)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return v, ctx.Err()
		}
		pause = min(pause*5/4, lastPause)
	}
}
