package supervisor

import (
	"cmp"
	"slices"

	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
)

// snapshot returns all that another program needs to go on, with duplicates of the
// descriptors in files, which the caller closes, also after an error. Nothing of the
// state changes when this program goes on.
func (s *Supervisor) snapshot(files *reexec.Files) (st *state, err error) {
	if err := s.unfit(); err != nil {
		return nil, err
	}
	st = &state{
		Runtime: s.launcher.folder,

		historyState:  s.history.snapshot(),
		storeState:    s.store.Snapshot(files.Duplicate),
		managerState:  s.manager.Snapshot(),
		RunnerState:   s.runner.Snapshot(),
		requestsState: s.requests.snapshot(),
		Timers:        s.machine.timers.snapshot(),
	}
	for _, f := range s.sockets {
		st.Sockets = append(st.Sockets, namedRef{f.Name, files.Duplicate(f.File)})
	}
	for _, p := range s.instances {
		process := p.snapshot(files)
		process.PeerState = s.store.SnapshotPeer(p.number)
		st.Processes = append(st.Processes, process)
	}
	slices.SortFunc(st.Processes, func(a, b processState) int { return cmp.Compare(a.Number, b.Number) })
	if st.Machine, err = s.machine.Snapshot(); err != nil {
		return nil, err
	}
	return st, files.Err()
}

func (p *instance) snapshot(files *reexec.Files) processState {
	return processState{
		Number: p.number, Program: p.program, Began: p.began,
		State:    p.Snapshot(files.Duplicate),
		Receiver: files.Add(p.receiver.File()), ordersState: p.orders.snapshot(files),
		watchdogState: p.watchdog.snapshot(), readinessState: p.readiness.snapshot(), Text: p.text, Says: p.says,
	}
}

// keep adds what the program around the supervisor leaves to the next one.
func (st *state) keep(k Kept, files *reexec.Files) {
	st.Data = k.Data
	for _, f := range k.Files {
		st.Files = append(st.Files, files.Add(f, nil))
	}
}
