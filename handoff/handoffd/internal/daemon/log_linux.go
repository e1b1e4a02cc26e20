package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// newLogger logs to the journal with fields of its own where w is the journal, and
// lines for people elsewhere.
func newLogger(w *os.File, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	if is, err := journal.StderrIsJournalStream(); err == nil && is && w == os.Stderr {
		return slog.New(&handler{level: level, write: bounded((&journalSocket{path: journalPath}).put)})
	}
	return slog.New(&handler{level: level, write: bounded(toFile(w))})
}

// A handler says each record in a line, its attributes behind the message, and
// gives the attributes also apart.
type handler struct {
	level slog.Level
	attrs []slog.Attr
	write func(l slog.Level, line string, attrs []slog.Attr) error
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]slog.Attr(nil), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	var line strings.Builder
	line.WriteString(r.Message)
	for _, a := range attrs {
		if a.Key != "generation" && a.Key != "handoff_event" { // the message says it
			fmt.Fprintf(&line, "; %s: %v", a.Key, a.Value)
		}
	}
	return h.write(r.Level, line.String(), attrs)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.level, append(append([]slog.Attr(nil), h.attrs...), attrs...), h.write}
}

// WithGroup leaves groups out: nothing here uses them.
func (h *handler) WithGroup(string) slog.Handler { return h }
