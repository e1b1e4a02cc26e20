package fdstore

import (
	"context"
	"slices"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// changes are what a generation wants to be different in the store. It makes them
// when it owns it: until then the generation before may have to go on with what is
// there.
type changes struct {
	removals []string
	sockets  []storedSocket
}

type storedSocket struct {
	name string
	conn syscall.Conn
}

// RemoveLater has what is stored under name be removed by Settle. It is not for several
// goroutines at once, as little as StoreLater and Settle.
func (st *Store) RemoveLater(name string) {
	if !slices.Contains(st.pending.removals, name) {
		st.pending.removals = append(st.pending.removals, name)
	}
}

// StoreLater has conn be stored under name by Settle.
func (st *Store) StoreLater(name string, conn syscall.Conn) {
	st.pending.sockets = append(st.pending.sockets, storedSocket{name, conn})
}

// Settle makes the changes. What cannot be done is reported: the service can serve without
// it.
func (st *Store) Settle(ctx context.Context) {
	st.removeAll(ctx, st.pending.removals)
	for _, sock := range st.pending.sockets {
		if err := st.put(ctx, sock.name, 0, sock.conn); err != nil {
			st.report.Reportf("%w: a restart will close and bind it anew: %w", report.ErrLost, err)
		}
	}
	st.pending = changes{}
}
