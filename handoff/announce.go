package handoff

import (
	"context"

	servicemanager "github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// readiness is what the manager is told once the service is ready; handoffd is told more
// than others.
func (s *Service) readiness() []notify.Field {
	fields := []notify.Field{notify.Ready()}
	if s.intake == nil {
		return fields
	}
	if s.resumable() {
		fields = append(fields, notify.Field{Key: parcel.Resumable, Value: "1"})
	}
	version, err := servicemanager.Version(s.o.Version)
	s.report(err)
	return append(fields, version...)
}

// announceCarried tells handoffd how many connections were taken over, until ctx ends.
func (s *Service) announceCarried(ctx context.Context) error {
	if s.intake != nil {
		servicemanager.AnnounceCarried(ctx, s.manager, s.env.Report.CarriedIn(), s.env.Report.Count.CarriedIn.Load, s.report)
	}
	return nil
}
