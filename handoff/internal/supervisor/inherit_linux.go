package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// inherit takes over sockets and what earlier generations have stored, or binds
// the sockets.
func (s *Supervisor) inherit() error {
	set, err := inheritAsTheyAre()
	if err != nil && !errors.Is(err, activation.ErrNames) {
		return errors.Join(err, set.Close())
	}
	defer set.Close()
	var all []activation.NamedFile
	for _, name := range set.Names() {
		files, err := set.Files(name)
		for _, f := range files {
			all = append(all, activation.NamedFile{Name: name, File: f})
		}
		if err != nil {
			for _, f := range all {
				f.File.Close()
			}
			return err
		}
	}
	if s.sockets, err = s.store.Inherit(all); err != nil {
		return err
	}
	s.drain.reopen()
	return s.bind()
}

// inheritAsTheyAre is activation.Inherit, but leaves the sockets' O_NONBLOCK as the
// manager has set it (NonBlocking= of systemd.service(5)): they are the program's.
func inheritAsTheyAre() (*activation.Set, error) {
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	var blocking []int
	for fd := 3; fd < 3+count; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK == 0 {
			blocking = append(blocking, fd)
		}
	}
	set, err := activation.Inherit()
	if set.Activated() {
		for _, fd := range blocking {
			unix.SetNonblock(fd, false)
		}
	}
	return set, err
}

// bind makes the sockets where none were passed.
func (s *Supervisor) bind() error {
	if len(s.sockets) > 0 || s.o.NoSockets {
		return nil
	}
	if len(s.o.Listen) == 0 {
		return fmt.Errorf("%w: add Sockets= or a socket unit of the same name, see systemd.socket(5), or --listen, or --no-sockets", ErrNoSockets)
	}
	for _, a := range s.o.Listen {
		f, err := a.bind()
		if err != nil {
			return fmt.Errorf("listen %v: %w", a, err)
		}
		if s.o.Compat != "" {
			// Such programs wait in accept(2) itself.
			err := fd.With(f, func(fd int) error { return unix.SetNonblock(fd, false) })
			if err != nil {
				return fmt.Errorf("listen %v: %w", a, err)
			}
		}
		s.sockets = append(s.sockets, activation.NamedFile{Name: a.Name, File: f})
	}
	return nil
}
