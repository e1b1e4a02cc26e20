package supervisor

import (
	"reflect"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/process"
)

// measured is a generation with a process and a use of its own.
type measured struct{ process.Generation }

func (measured) Main() (pid int, alive bool) { return 5, true }
func (measured) Usage() (memory, cpu int64)  { return 6, 7 }

// TestStatus: the status has a value for everything that the supervisor knows.
func TestStatus(t *testing.T) {
	s := populated(t, true)
	p := s.instances[1]
	real := p.Generation
	p.Generation = measured{real}
	status := s.status()
	p.Generation = real
	if len(status.Generations) != 3 {
		t.Fatalf("%d generations", len(status.Generations))
	}
	g := status.Generations[0]
	if g.PID != 5 || g.Memory != 6 || g.CPUUsec != 7 || g.Number != 1 {
		t.Errorf("generation 1 is %+v", g)
	}
	for _, c := range []struct {
		of     any
		absent map[string]bool // nothing makes these in this test
	}{
		{status, map[string]bool{"Down": true, "Words": true, "Rotation": true}},
		{g, nil},
	} {
		v := reflect.ValueOf(c.of)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && !c.absent[name] {
				t.Errorf("the status has no %s of %T", name, c.of)
			}
		}
	}
}
