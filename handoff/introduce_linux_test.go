package handoff

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
)

// TestIntroduction: handoffd hears the version of the program and how many
// connections it took over, and systemd neither.
func TestIntroduction(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("echo", "tcp", "127.0.0.1:0")
		g := m.start(appConfig{Echo: inherited, Version: "1.2.3"})
		const clients = 8
		for range clients {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			s := newSummer(c)
			defer s.Close()
			if err := s.step(); err != nil {
				t.Fatal(err)
			}
		}
		old := g
		g = m.replace(g, appConfig{Echo: inherited, Version: "1.2\n4"})
		if m.overlap {
			g.await(fmt.Sprint(protocol.KeyCarried, "=", clients), 1)
		}
		g.stop()
		if said := old.said(); slices.Contains(said, protocol.KeyVersion+"=1.2.3") != m.overlap {
			t.Errorf("the first generation said %q", said)
		}
		// A version that cannot be said is left out, and READY=1 is not.
		said := func(prefix string) bool {
			return slices.ContainsFunc(g.said(), func(s string) bool { return strings.HasPrefix(s, prefix) })
		}
		if said(protocol.KeyVersion) || !said("READY=1") || said(protocol.KeyCarried) != m.overlap {
			t.Errorf("the second generation said %q", g.said())
		}
		if out := g.out.String(); m.overlap && !strings.Contains(out, `version "1.2\n4"`) {
			t.Errorf("the second generation reports %q", out)
		}
	})
}
