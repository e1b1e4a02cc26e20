package supervisor

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/notify"
)

// TestSaid: what a generation says of itself, and what makes no sense.
func TestSaid(t *testing.T) {
	for _, c := range []struct {
		name     string
		messages []string
		want     selfReport
		why      string
	}{
		{name: "nothing", messages: []string{"READY=1"}},
		{name: "a version", messages: []string{"X_HANDOFF_VERSION=1.2 beta"}, want: selfReport{Version: "1.2 beta"}},
		{name: "a long version", messages: []string{"X_HANDOFF_VERSION=" + strings.Repeat("x", 100)}, want: selfReport{Version: strings.Repeat("x", 64) + "..."}},
		{name: "counts", messages: []string{"X_HANDOFF_CARRIED=1", "X_HANDOFF_CARRIED=300"}, want: selfReport{Carried: 300}},
		{name: "no count", messages: []string{"X_HANDOFF_CARRIED=7", "X_HANDOFF_CARRIED=-1", "X_HANDOFF_CARRIED=many"}, want: selfReport{Carried: 7}},
		{name: "an errno", messages: []string{"ERRNO=2"}, want: selfReport{Failure: manager.FailureDetails{"2"}}, why: "ERRNO=2 (no such file or directory)"},
		{name: "an errno taken back", messages: []string{"ERRNO=2", "ERRNO=0"}, want: selfReport{Failure: manager.FailureDetails{"0"}}},
		{name: "no errno", messages: []string{"ERRNO=many"}, want: selfReport{Failure: manager.FailureDetails{"many"}}, why: "ERRNO=many"},
		{name: "all", messages: []string{"ERRNO=1\nBUSERROR=a.b\nVARLINKERROR=c.d\nEXIT_STATUS=3"},
			want: selfReport{Failure: manager.FailureDetails{"1", "a.b", "c.d", "3"}}, why: "ERRNO=1 (operation not permitted), BUSERROR=a.b, VARLINKERROR=c.d"},
		{name: "what cannot be passed on", messages: []string{"BUSERROR=a\\\nb", "VARLINKERROR=" + strings.Repeat("x", 257)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := newSupervisor(Options{Program: []string{"program"}})
			if err != nil {
				t.Fatal(err)
			}
			s.setManager(nil)
			s.manager.Restore(manager.State{})
			defer s.manager.Close()
			p := new(instance)
			for _, text := range c.messages {
				m, err := notify.Parse([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				s.noteSelfReport(p, m)
			}
			if p.says != c.want || p.says.Failure.String() != c.why {
				t.Errorf("got %+v, %q, want %+v, %q", p.says, p.says.Failure.String(), c.want, c.why)
			}
		})
	}
}
