package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// ownPath returns where this program was started from, for a start of what is
// there by then. It is not what /proc/self/exe leads to: that stays the old one.
func ownPath() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return os.Executable() // the first argument need not be a path
	}
	return filepath.Abs(path)
}

// A replacement is what it takes to replace this program.
type replacement struct {
	s       *supervisor.Supervisor
	ear     *ear
	control *controller
	log     *slog.Logger
}

// reexec replaces this program, and returns only if that fails.
func (r *replacement) reexec(ctx context.Context) error {
	path, err := ownPath()
	if err != nil {
		return err
	}
	return r.s.Reexec(ctx, supervisor.Image{Path: path, Args: os.Args, Deafen: r.ear.deafen, Keep: r.keep})
}

// bySignal is reexec on behalf of nobody.
func (r *replacement) bySignal(ctx context.Context) {
	err := r.reexec(ctx)
	if !errors.Is(err, supervisor.ErrReexecuting) && !errors.Is(err, supervisor.ErrEnded) {
		r.log.Error("this program could not be replaced, and goes on", "error", err)
	}
}

// keep keeps the control socket and its clients.
func (r *replacement) keep(pending []uint64) (supervisor.Kept, error) {
	if r.control.listener == nil {
		return supervisor.Kept{}, nil
	}
	clients, thaw, err := r.control.server.Freeze(pending)
	if err != nil {
		return supervisor.Kept{}, err
	}
	k := supervisor.Kept{Release: thaw}
	for _, c := range clients {
		k.Files = append(k.Files, c.Conn)
	}
	l, err := r.control.listener.File()
	if err == nil {
		k.Files = append(k.Files, l)
		k.Data, err = json.Marshal(clients)
	}
	return k, err
}

// kept returns what keep has kept: the clients, and the socket behind them. Where
// there was none it is nil.
func kept(h *supervisor.Successor) (*control.Listener, []control.Carried, error) {
	if len(h.Files) == 0 {
		return nil, nil, nil
	}
	var clients []control.Carried
	if err := json.Unmarshal(h.Data, &clients); err != nil || len(clients) != len(h.Files)-1 {
		return nil, nil, fmt.Errorf("%d descriptors for %d clients, %w", len(h.Files), len(clients), err)
	}
	for i := range clients {
		clients[i].Conn = h.Files[i]
	}
	socket := h.Files[len(clients)]
	defer socket.Close() // there is a duplicate
	l, err := control.FileListener(socket)
	return l, clients, err
}

// blockSignals has signals wait while this program is being replaced. It starts
// this program anew if it has to.
func blockSignals(log *slog.Logger) {
	path, err := ownPath()
	if err == nil {
		err = reexec.BlockSignals(path)
	}
	if err != nil {
		log.Warn("signals may be lost while handoffd replaces itself", "error", err)
	}
}
