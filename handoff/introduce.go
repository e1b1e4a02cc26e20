package handoff

import (
	"context"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// readiness is what the manager is told once the service is ready.
func (s *Service) readiness() []notify.Field {
	fields := []notify.Field{notify.Ready()}
	if s.intake == nil {
		return fields
	}
	if s.resumable() {
		fields = append(fields, notify.Field{Key: parcel.Resumable, Value: "1"})
	}
	version := s.o.Version
	if info, ok := debug.ReadBuildInfo(); ok && version == "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	if version == "" {
		return fields
	}
	named := append(fields, notify.Field{Key: protocol.KeyVersion, Value: version})
	if _, err := notify.Message(named).Append(nil); err != nil {
		s.reportf("version %q: %w", version, err)
		return fields
	}
	return named
}

// tellEvery is the least time between two counts that handoffd is told: thousands
// of connections may come at once.
const tellEvery = 100 * time.Millisecond

// tellCarried tells handoffd how many connections were taken over, until ctx ends.
func (s *Service) tellCarried(ctx context.Context) error {
	if s.intake == nil {
		return nil
	}
	for {
		select {
		case <-s.reporter.CarriedIn():
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(tellEvery):
		case <-ctx.Done():
			return nil
		}
		n := s.reporter.Count.CarriedIn.Load()
		err := s.manager.Send(ctx, notify.Field{Key: protocol.KeyCarried, Value: strconv.FormatUint(n, 10)})
		if ctx.Err() == nil {
			s.report(err)
		}
	}
}
