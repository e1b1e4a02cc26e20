package rotation

import (
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// TestMembership: who waits to accept is woken by the return, and who looks too late to
// see that the service was away sees that it came back.
func TestMembership(t *testing.T) {
	var m Membership
	if m.Left() || m.Returning() != nil || m.Returns() != 0 {
		t.Error("it has left from the start")
	}
	refused := errors.New("refused")
	if err := m.Leave(t.Context(), 0, func() error { return refused }); !errors.Is(err, refused) || m.Left() {
		t.Errorf("it may not leave: %v, left %v", err, m.Left())
	}
	m.Tell(true)
	if !m.Left() {
		t.Error("the manager took it out, and it has not left")
	}
	back := make(chan struct{})
	m.back = back
	if m.Returning() == nil {
		t.Error("it is away, and nobody can wait for it")
	}
	if err := m.Rejoin(); err != nil {
		t.Fatal(err)
	}
	<-back
	if m.Left() || m.Returning() != nil || m.Returns() != 1 {
		t.Errorf("after its return: left %v, returns %d", m.Left(), m.Returns())
	}
	if err := m.End(); err != nil {
		t.Fatal(err)
	}
	if err := m.Leave(t.Context(), 0, func() error { return nil }); !errors.Is(err, report.ErrDraining) {
		t.Errorf("after the end: %v", err)
	}
}
