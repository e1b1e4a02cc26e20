package supervisor

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/notify"
)

// excuses are the assignments that say why a service fails, and their values for
// none.
var excuses = []notify.Field{{Key: "ERRNO", Value: "0"}, {Key: "BUSERROR"}, {Key: "VARLINKERROR"}, {Key: "EXIT_STATUS"}}

// sayEvery is the least time between two messages about excuses.
const sayEvery = time.Second

// said takes note of what p says of itself.
func (s *Supervisor) said(p *instance, m notify.Message) {
	before := p.says
	if text, ok := m.Get(protocol.KeyVersion); ok {
		p.says.Version = report.Clip(text, 64)
	}
	if text, ok := m.Get(protocol.KeyCarried); ok {
		if n, err := strconv.ParseUint(text, 10, 63); err == nil {
			p.says.Carried = n
		}
	}
	for i, e := range excuses {
		if text, ok := m.Get(e.Key); ok && report.Clip(text, 256) == text {
			p.says.Excuses[i] = text
		}
	}
	if p.says.Excuses != before.Excuses {
		s.passOn()
	}
	if p.says != before {
		s.change()
	}
}

// says is what a generation has said of itself.
type says struct {
	Version string    `json:"version,omitempty"`
	Carried uint64    `json:"carried,omitempty"`
	Excuses [4]string `json:"excuses"` // "": nothing
}

// why is the reason of a failure, as far as p has said it.
func (p *instance) why() string {
	var parts []string
	for i, value := range p.says.Excuses {
		errno, err := strconv.Atoi(value)
		switch key := excuses[i].Key; {
		case value == "" || value == excuses[i].Value || key == "EXIT_STATUS": // how it ended is known
		case key == "ERRNO" && err == nil && errno > 0:
			parts = append(parts, fmt.Sprintf("ERRNO=%d (%v)", errno, syscall.Errno(errno)))
		default:
			parts = append(parts, key+"="+value)
		}
	}
	return strings.Join(parts, ", ")
}

// speaker returns the generation of which the excuses are those of the service: the
// one that serves, or else the newest.
func (s *Supervisor) speaker() *instance {
	var newest uint64
	for _, g := range s.machine.Generations() {
		newest = g.Number
		if g.State == generation.StateServing || g.State == generation.StateReleasing || g.State == generation.StateResuming {
			break
		}
	}
	return s.instances[newest]
}

// passOn tells the manager the excuses of the service where they are others than
// it knows. What comes soon after waits, and the last of it counts: a generation
// that sends them all the time must not keep the manager from its work.
func (s *Supervisor) passOn() {
	p := s.speaker()
	if p == nil || s.saying != nil {
		return
	}
	var fields []notify.Field
	for i, e := range excuses {
		if text := p.says.Excuses[i]; text != s.excuses[i] {
			if s.excuses[i] = text; text != "" {
				e.Value = text
			}
			fields = append(fields, e)
		}
	}
	if len(fields) == 0 {
		return
	}
	s.above.send(fields...)
	s.saying = time.AfterFunc(sayEvery, func() {
		s.post(func() {
			s.saying = nil
			s.passOn()
		})
	})
}

// saidAll passes on what waits of p, which says nothing any more.
func (s *Supervisor) saidAll(p *instance) {
	if s.saying != nil && s.speaker() == p {
		s.saying.Stop()
		s.saying = nil
		s.passOn()
	}
}
