package handoff

import (
	"context"
	"slices"
	"syscall"
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

func (c *changes) remove(name string) {
	if !slices.Contains(c.removals, name) {
		c.removals = append(c.removals, name)
	}
}

func (c *changes) add(name string, conn syscall.Conn) {
	c.sockets = append(c.sockets, storedSocket{name, conn})
}

func (s *Service) removeAll(ctx context.Context, names []string) {
	for _, name := range names {
		s.report(s.store.remove(ctx, name))
	}
}

// settleStore makes the changes, and leaves the manifest. What cannot be done is
// reported: the service can serve without it.
func (s *Service) settleStore(ctx context.Context) {
	s.removeAll(ctx, s.changes.removals)
	for _, sock := range s.changes.sockets {
		if err := s.store.put(ctx, sock.name, 0, sock.conn); err != nil {
			s.reportf("%w: a restart will close and bind it anew: %w", ErrLost, err)
		}
	}
	s.changes = changes{}
	s.writeManifest(ctx)
}
