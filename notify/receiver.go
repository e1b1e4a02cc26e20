package notify

import (
	"errors"
	"os"
)

// A Notification is one message as a manager receives it.
//
// Close it when it has been dealt with, always, and in the order of arrival: the
// descriptors are closed with it, and a barrier is answered by it.
type Notification struct {
	Message Message
	// PID, UID and GID are the sender's, as the kernel gives them. Whether it
	// may send (NotifyAccess=) is for the manager to decide. PID is 0 for a
	// sender in a PID namespace that this process cannot see; the sender may be
	// gone by now, and root can claim any of the three.
	PID      int
	UID, GID uint32
	// Files are the descriptors that came with it, at most MaxFiles. One that
	// the manager keeps it takes out: Take.
	Files []*os.File
}

// Barrier reports whether the sender waits until Close is called, and asks for
// nothing else. See Notifier.Barrier.
func (n *Notification) Barrier() bool { return n.Message.Has("BARRIER", "1") }

// Take hands the files to the caller, who closes them. Close no longer does.
func (n *Notification) Take() []*os.File {
	files := n.Files
	n.Files = nil
	return files
}

// Close closes the files that were not taken; for a barrier that is the answer.
// It may be called again.
func (n *Notification) Close() error {
	var errs []error
	for _, f := range n.Take() {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
