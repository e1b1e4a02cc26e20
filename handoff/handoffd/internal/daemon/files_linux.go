package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// A pidFile holds this process's number, and is locked for as long as it runs:
// `start_server --stop` waits for the lock. A nil one is none.
type pidFile struct{ f *os.File }

// lockPIDFile writes the file path, or returns nil where that is "". One that
// another process holds is left as it is.
func lockPIDFile(path string) (*pidFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another process holds it")
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &pidFile{f}, nil
}

func (p *pidFile) close() {
	if p != nil {
		os.Remove(p.f.Name())
		p.f.Close()
	}
}

// A statusFile says which generation serves and which ones drain, a line "NUMBER:PID"
// each, as that of start_server. A nil one is none.
type statusFile struct {
	path string
	text string // what is in it, or a ? where this program has not written it
	log  *slog.Logger
}

// openFiles makes the files that o names. resumed says that this program has
// taken the place of another one: a service is not ended for such a file.
func openFiles(o Options, log *slog.Logger, resumed bool) (*pidFile, *statusFile, error) {
	pid, err := lockPIDFile(o.PIDFile)
	if err != nil && resumed {
		log.Warn("the PID file could not be locked again", "error", err)
	} else if err != nil {
		return nil, nil, fmt.Errorf("run: --pid-file: %w", err)
	}
	status := newStatusFile(o.StatusFile, log)
	if status != nil && !resumed {
		if err := replaceFile(status.path, ""); err != nil {
			pid.close()
			return nil, nil, fmt.Errorf("run: --status-file: %w", err)
		}
	}
	return pid, status, nil
}

// newStatusFile returns nil where path is "".
func newStatusFile(path string, log *slog.Logger) *statusFile {
	if path == "" {
		return nil
	}
	return &statusFile{path: path, text: "?", log: log}
}

// follow keeps the file up to date until ctx ends.
func (f *statusFile) follow(ctx context.Context, s *supervisor.Supervisor) {
	if f == nil {
		return
	}
	for {
		status, changed, err := s.Status()
		if err != nil {
			return
		}
		f.write(statusLines(status.Generations))
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (f *statusFile) close() {
	if f != nil {
		os.Remove(f.path)
	}
}

func (f *statusFile) write(text string) {
	if text == f.text {
		return
	}
	f.text = text
	if err := replaceFile(f.path, text); err != nil {
		f.log.Warn("the status file could not be written", "error", err)
	}
}

// statusLines leaves out successors that have not taken over.
func statusLines(generations []supervisor.GenerationStatus) string {
	var b strings.Builder
	for _, g := range generations {
		if g.Committed && g.PID != 0 {
			fmt.Fprintf(&b, "%d:%d\n", g.Number, g.PID)
		}
	}
	return b.String()
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(path, text string) error {
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		os.Remove(temporary)
		return err
	}
	return nil
}
