package supervisor

import (
	"strconv"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/notify"
)

// A selfReport is what a generation has said of itself.
type selfReport struct {
	Version string                 `json:"version,omitempty"`
	Carried uint64                 `json:"carried,omitempty"`
	Failure manager.FailureDetails `json:"excuses"`
}

// versionBytes is how long a version may be.
const versionBytes = 64

// noteSelfReport takes note of what p says of itself.
func (s *Supervisor) noteSelfReport(p *instance, m notify.Message) {
	before := p.says
	if text, ok := m.Get(protocol.KeyVersion); ok {
		p.says.Version = report.Clip(text, versionBytes)
	}
	if text, ok := m.Get(protocol.KeyCarried); ok {
		if n, err := strconv.ParseUint(text, 10, 63); err == nil {
			p.says.Carried = n
		}
	}
	p.says.Failure.Note(m)
	if p.says.Failure != before.Failure {
		s.forwardFailure()
	}
	if p.says != before {
		s.change()
	}
}

// reporting returns the generation whose failure details are those of the service: the
// one that serves, or else the newest.
func (s *Supervisor) reporting() *instance {
	var newest uint64
	for _, g := range s.machine.Generations() {
		newest = g.Number
		if g.State == generation.StateServing || g.State == generation.StateReleasing || g.State == generation.StateResuming {
			break
		}
	}
	return s.instances[newest]
}

// forwardFailure tells the manager the failure details of the service where they are
// others than it knows.
func (s *Supervisor) forwardFailure() {
	s.manager.ForwardFailure(func() (details manager.FailureDetails, ok bool) {
		if p := s.reporting(); p != nil {
			return p.says.Failure, true
		}
		return details, false
	})
}

// flushFailure tells the manager what waits of p, which says nothing any more.
func (s *Supervisor) flushFailure(p *instance) {
	if s.reporting() == p {
		s.manager.FlushFailure()
	}
}
