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

// A socketList is the list of sockets that every generation gets. They stay as they are from the
// start to the end.
type socketList []activation.NamedFile

func (l socketList) files() (files []*os.File) {
	for _, f := range l {
		files = append(files, f.File)
	}
	return files
}

func (l socketList) close() { fd.CloseAll(l.files()) }

// inherit takes over sockets and what earlier generations have stored, or binds
// the sockets.
func (s *Supervisor) inherit() error {
	all, err := inheritFiles()
	if err != nil {
		return err
	}
	if s.sockets, err = s.store.Inherit(all); err != nil {
		return err
	}
	s.drain.reopen()
	if len(s.sockets) == 0 && !s.o.NoSockets {
		s.sockets, err = bind(s.o.Listen, s.o.Compat != "")
	}
	return err
}

// inheritFiles returns what was passed to this process, whatever it is.
func inheritFiles() (all []activation.NamedFile, err error) {
	set, err := inheritAsTheyAre()
	if err != nil && !errors.Is(err, activation.ErrNames) {
		return nil, errors.Join(err, set.Close())
	}
	defer set.Close()
	for _, name := range set.Names() {
		files, err := set.Files(name)
		for _, f := range files {
			all = append(all, activation.NamedFile{Name: name, File: f})
		}
		if err != nil {
			socketList(all).close()
			return nil, err
		}
	}
	return all, nil
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

// bind makes the sockets where none were passed. Blocking ones are those of programs
// that wait in accept(2) itself. After an error those before it are returned, too.
func bind(addresses []Address, blocking bool) (list socketList, err error) {
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: add Sockets= or a socket unit of the same name, see systemd.socket(5), or --listen, or --no-sockets", ErrNoSockets)
	}
	for _, a := range addresses {
		f, err := a.bind()
		if err != nil {
			return list, fmt.Errorf("listen %v: %w", a, err)
		}
		list = append(list, activation.NamedFile{Name: a.Name, File: f})
		if blocking {
			if err := fd.With(f, func(fd int) error { return unix.SetNonblock(fd, false) }); err != nil {
				return list, fmt.Errorf("listen %v: %w", a, err)
			}
		}
	}
	return list, nil
}
