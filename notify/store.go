package notify

import (
	"context"
	"fmt"
	"syscall"
)

// Store leaves duplicates of files in the manager's store under name, from where
// the service's next run inherits them. The caller keeps and closes its own. More
// than MaxFiles go in several messages; an error tells how many went before it.
//
// It takes anything with a descriptor (*os.File, *net.TCPConn,
// *net.UnixListener, ...), so that a connection need not be duplicated into an
// *os.File first.
//
// The manager reports none of the following, see sd_pid_notify_with_fds(3):
//   - beyond FileDescriptorStoreMax= (StoreLimit) it closes what it is given;
//     so it does with all of it where that is 0, the default;
//   - a descriptor that refers to the same open file as a stored one is
//     ignored, and keeps its old name;
//   - a name that is there already gets the new ones in addition: Remove first
//     to replace;
//   - it drops a stored descriptor once poll(2) finds a hangup or an error on
//     it: a pipe or Unix stream whose other end was closed, a listener that was
//     shut down. StoreUnpolled keeps those.
//
// While the store holds a connection, closing it here does not close it for its
// peer.
func (n *Notifier) Store(ctx context.Context, name string, files ...syscall.Conn) error {
	return n.store(ctx, name, files, fdStore, fdName(name))
}

// StoreUnpolled is Store with FDPOLL=0: the manager keeps the descriptors until
// they are removed (v246).
func (n *Notifier) StoreUnpolled(ctx context.Context, name string, files ...syscall.Conn) error {
	return n.store(ctx, name, files, fdStore, fdName(name), noFDPoll)
}

func (n *Notifier) store(ctx context.Context, name string, files []syscall.Conn, fields ...Field) error {
	if n == nil {
		return nil
	}
	if err := CheckName(name); err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("notify: store %q: %w: no descriptors given", name, ErrInvalid)
	}
	for done := 0; done < len(files); done += MaxFiles {
		batch := files[done:min(done+MaxFiles, len(files))]
		if err := n.SendFiles(ctx, batch, fields...); err != nil {
			return fmt.Errorf("notify: store %q: after %d of %d descriptors: %w", name, done, len(files), err)
		}
	}
	return nil
}

// Remove drops every descriptor that is stored under name (v236). There being
// none is no error, nor would the manager say so.
func (n *Notifier) Remove(ctx context.Context, name string) error {
	return n.Send(ctx, fdStoreRemove, fdName(name))
}
