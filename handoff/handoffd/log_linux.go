package main

import (
	"context"
	"fmt"
	"io"
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
		return slog.New(&handler{level: level, write: toJournal})
	}
	return slog.New(&handler{level: level, write: toWriter(w)})
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

func toWriter(w io.Writer) func(slog.Level, string, []slog.Attr) error {
	return func(l slog.Level, line string, _ []slog.Attr) error {
		_, err := fmt.Fprintf(w, "handoffd: %s: %s\n", strings.ToLower(l.String()), line)
		return err
	}
}

// toJournal writes a line with its attributes as fields: GENERATION= and
// HANDOFF_EVENT= among them.
func toJournal(l slog.Level, line string, attrs []slog.Attr) error {
	priority := journal.PriErr
	switch {
	case l < slog.LevelInfo:
		priority = journal.PriDebug
	case l < slog.LevelWarn:
		priority = journal.PriInfo
	case l < slog.LevelError:
		priority = journal.PriWarning
	}
	fields := make(map[string]string, len(attrs)+1)
	for _, a := range attrs {
		fields[strings.ToUpper(a.Key)] = a.Value.String()
	}
	fields["SYSLOG_IDENTIFIER"] = "handoffd"
	return journal.Send(line, priority, fields)
}
