package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/notify"
)

// A launcher knows what a generation is started with: its program, its environment, and
// its notification socket. It belongs to Run's goroutine.
type launcher struct {
	o       *Options
	log     *slog.Logger
	folder  string   // where notification sockets are made
	environ []string // what generations get of this process's variables
}

// open makes the folder.
func (l *launcher) open() (err error) {
	l.folder, err = runtimeDir(l.o.RuntimeDir)
	return err
}

// inherited is called once the variables were dealt with that are this process's own.
func (l *launcher) inherited() { l.environ = programEnviron() }

// restore goes on with the folder that the program before has made.
func (l *launcher) restore(folder string) {
	l.folder = folder
	l.inherited()
}

func (l *launcher) close() {
	if l.folder != "" {
		os.Remove(l.folder)
	}
}

// listen makes the notification socket of a generation. Its folder may be gone, as
// when a unit with the same RuntimeDirectory= was stopped, or full. Then it is made
// anew, or elsewhere: a service must not end for that.
func (l *launcher) listen(gen uint64) (*notify.Receiver, error) {
	listen := func(dir string) (*notify.Receiver, error) {
		return notify.Listen(filepath.Join(dir, fmt.Sprintf("notify-%d", gen)))
	}
	r, err := listen(l.folder)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(l.folder, 0o711) == nil && os.Chmod(l.folder, 0o711) == nil {
		r, err = listen(l.folder)
	}
	if err == nil {
		return r, nil
	}
	dir, dirErr := temporaryDir()
	if dirErr != nil {
		return nil, errors.Join(err, dirErr)
	}
	l.log.Warn("notification sockets are made elsewhere from now on", "folder", dir, "reason", err)
	l.folder = dir
	return listen(dir)
}

// command looks the program up, "" for the one of the options, and says what it finds
// in its environment; addr is its notification socket, and store how many descriptors
// it may store.
func (l *launcher) command(spec *process.Spec, program, addr string, sockets socketList, store int) error {
	if program == "" {
		program = l.o.Program[0]
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	env := l.environ[:len(l.environ):len(l.environ)]
	if l.o.EnvironmentFile != "" {
		more, err := ReadEnvironment(l.o.EnvironmentFile)
		if err != nil {
			return err
		}
		env = append(env, more...)
	}
	if l.o.EnvDir != "" {
		more, err := ReadEnvDir(l.o.EnvDir)
		if err != nil {
			return err
		}
		env = append(env, more...)
	}
	compat, err := l.o.Compat.environ(sockets, spec.Number, os.Getpid())
	if err != nil {
		return err
	}
	env = append(env, compat...)
	env = append(env,
		"NOTIFY_SOCKET="+addr,
		"FDSTORE="+strconv.Itoa(store),
		protocol.GenerationEnv+"="+strconv.FormatUint(spec.Number, 10))
	if l.o.Watchdog > 0 && l.o.Ready.mode == readyNotify {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(l.o.Watchdog.Microseconds(), 10), "WATCHDOG_PID=")
	}
	spec.Path, spec.Args, spec.Env = path, append([]string{program}, l.o.Program[1:]...), env
	return nil
}

// programEnviron returns what generations get of this process's variables: not those
// by which it was told of its own descriptors and its own manager.
func programEnviron() []string {
	env := without(os.Environ(), "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "HANDOFF_SOCKET", protocol.GenerationEnv)
	return slices.DeleteFunc(env, isCompat)
}

// runtimeDir makes the folder for notification sockets. Programs under another
// user must get through, so it can be searched, and not listed.
func runtimeDir(dir string) (string, error) {
	if dir == "" {
		dir, _, _ = strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	}
	if dir == "" {
		return temporaryDir()
	}
	dir = filepath.Join(dir, "generations")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

func temporaryDir() (string, error) {
	dir, err := os.MkdirTemp("", "handoffd")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}
