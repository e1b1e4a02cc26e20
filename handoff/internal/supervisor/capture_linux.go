package supervisor

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// Variables that tell a program of the state that it is to go on with: the
// descriptor of the state, and that on which it says that it could, when it is
// only tried.
const (
	envState = "HANDOFFD_STATE"
	envTrial = "HANDOFFD_TRIAL"
)

// capture returns all that another program needs to go on, and duplicates of the
// descriptors, in the order of the references. The caller closes them, also after
// an error. Nothing of it changes when this program goes on.
func (s *Supervisor) capture() (*state, []*os.File, error) {
	if err := s.unfit(); err != nil {
		return nil, nil, err
	}
	c := &capturer{}
	st := &state{
		PID:     os.Getpid(),
		Runtime: s.runtime,
		Since:   s.since,
		Reexecs: s.reexecs,

		storeState:    s.store.Snapshot(c.file),
		managerState:  s.manager.Snapshot(),
		RunnerState:   s.runner.Snapshot(),
		requestsState: s.requests.snapshot(),
		Timers:        s.timers.snapshot(),
	}
	for _, f := range s.sockets {
		st.Sockets = append(st.Sockets, namedRef{f.Name, c.file(f.File)})
	}
	for _, p := range s.instances {
		process := c.process(p)
		process.PeerState = s.store.SnapshotPeer(p.number)
		st.Processes = append(st.Processes, process)
	}
	slices.SortFunc(st.Processes, func(a, b processState) int { return cmp.Compare(a.Number, b.Number) })
	var err error
	if st.Machine, err = s.machine.Snapshot(); err == nil {
		err = c.err
	}
	return st, c.files, err
}

// A capturer collects descriptors.
type capturer struct {
	files []*os.File
	err   error // the first one
}

// add takes f over.
func (c *capturer) add(f *os.File, err error) ref {
	if err != nil {
		c.err = cmp.Or(c.err, err)
		return 0
	}
	c.files = append(c.files, f)
	return ref(len(c.files))
}

func (c *capturer) file(f *os.File) ref { return c.add(fd.Duplicate(f, f.Name())) }

func (c *capturer) process(p *instance) processState {
	st := processState{
		Number: p.number, Program: p.program, Began: p.began,
		State:    p.Snapshot(c.file),
		Receiver: c.add(p.receiver.File()), Deliverer: c.add(p.deliverer.Dup()), LastDelivery: p.deliverer.Last(),
		watchdogState: p.watchdog.snapshot(), readinessState: p.readiness.snapshot(), Text: p.text, Says: p.says,
		Resumable: p.resumable, ReleaseTo: p.releaseTo,
	}
	return st
}

// keep adds what the program around the supervisor keeps, and its files to files.
func (st *state) keep(k Kept, files []*os.File) []*os.File {
	st.Data = k.Data
	for i := range k.Files {
		st.Files = append(st.Files, ref(len(files)+i+1))
	}
	return append(files, k.Files...)
}

// The seals of a state: it is as it was written.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// seal writes the state into a file of memory that nobody can change.
func (st *state) seal() (*os.File, error) {
	b, err := st.encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("handoffd-state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "state")
	if _, err = f.Write(b); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the state: %w", err)
	}
	return f, nil
}

// unseal reads what seal has written.
func unseal(f *os.File) (*state, error) {
	got := 0
	err := fd.With(f, func(fd int) (err error) {
		got, err = unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
		return err
	})
	if err != nil || got&seals != seals {
		return nil, fmt.Errorf("%w: descriptor %d is no sealed file", ErrState, f.Fd())
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	if len(b) > maxState {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrState, maxState)
	}
	return parseState(b)
}
