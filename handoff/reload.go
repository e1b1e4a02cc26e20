package handoff

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
	"github.com/holdfast-go/holdfast/notify"
)

// maxStatus bounds a text for STATUS=.
const maxStatus = 2048

// A reload is under way.
type reload struct {
	cancel context.CancelCauseFunc
	done   chan error
	again  bool // another was asked for meanwhile
}

// beginReload begins a reload, or remembers it where one is under way: that one
// may have read the old configuration.
func (r *run) beginReload() {
	if r.reload != nil {
		r.reload.again = true
		return
	}
	s := r.s
	ctx, cancel := context.WithCancelCause(context.Background())
	r.reload = &reload{cancel: cancel, done: make(chan error, 1)}
	done := r.reload.done
	r.tell(notify.Reloading(), notify.Status("reloading"))
	reload := r.afterwards(s.reloadAll)
	r.tasks.Go(func() {
		defer cancel(nil)
		stop := s.extend()
		defer stop()
		done <- reload(ctx)
	})
}

// reloadAll calls the callbacks. Where one does not return there is no other reload:
// two at once would apply two configurations.
func (s *Service) reloadAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.ReloadTimeout)
	defer cancel()
	if !s.parts.reloading.TryLock() {
		return errors.New("a function of OnReload has not returned since the last reload")
	}
	return resource.Within(ctx, func(ctx context.Context) error {
		defer s.parts.reloading.Unlock()
		for _, f := range s.parts.reloads {
			if err := f(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// reloaded delivers the verdict of the reload that is under way.
func (r *run) reloaded() <-chan error {
	if r.reload == nil {
		return nil
	}
	return r.reload.done
}

// endReload ends a reload. READY=1 is sent whatever became of it: without, the
// manager waits for ever.
func (r *run) endReload(err error) {
	verdict := "reloaded"
	if err != nil {
		verdict = fmt.Sprintf("reload failed, the old configuration is in force: %v", err)
		r.report(fmt.Errorf("handoff: reload: %w", err))
	}
	r.tell(notify.Ready(), notify.Status(report.Clip(verdict, maxStatus)))
	again := r.reload.again
	r.reload = nil
	if again {
		r.beginReload()
	}
}
