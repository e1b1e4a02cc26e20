package process

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A cgroupWatch tells when a cgroup's last process has ended: the kernel then
// modifies its file cgroup.events.
type cgroupWatch struct {
	file    *os.File
	changed func(wd int)
	done    chan struct{}
}

// watchCgroups has changed called with what add returned.
func watchCgroups(changed func(wd int)) (*cgroupWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &cgroupWatch{file: os.NewFile(uintptr(fd), "inotify"), changed: changed, done: make(chan struct{})}
	go w.run()
	return w, nil
}

func (w *cgroupWatch) run() {
	defer close(w.done)
	b := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		n, err := w.file.Read(b)
		if err != nil {
			return // closed
		}
		for rest := b[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(rest))
			mask := binary.NativeEndian.Uint32(rest[4:])
			size := binary.NativeEndian.Uint32(rest[12:])
			if mask&unix.IN_MODIFY != 0 {
				w.changed(int(wd))
			}
			rest = rest[unix.SizeofInotifyEvent+int(size):]
		}
	}
}

// add watches g. The watch ends with the cgroup.
func (w *cgroupWatch) add(g *cgroup) (wd int, err error) {
	path := filepath.Join(g.dir, "cgroup.events")
	raw, err := w.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Control(func(fd uintptr) { wd, err = unix.InotifyAddWatch(int(fd), path, unix.IN_MODIFY) })
	if ctlErr != nil {
		return 0, ctlErr
	}
	if err != nil {
		return 0, fmt.Errorf("watch %s: %w", path, err)
	}
	return wd, nil
}

func (w *cgroupWatch) close() {
	w.file.Close()
	<-w.done
}
