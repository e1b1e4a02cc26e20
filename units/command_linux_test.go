package units

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestCommandArrivesAsWritten: whatever stands in a command, the program sees it.
func TestCommandArrivesAsWritten(t *testing.T) {
	words := []string{"", " ", "a b", "$HOME", "${HOME}", "$$", "%i", "100%", ";", "\\", `\x41`, `"`, "'", "a\tb\nc", "#", "@x", "größe", "*", "-- ", "\x7f\x01", strings.Repeat("x", 3000)}
	const program = "/usr/local/bin/words"
	const script = "#!/usr/bin/env python3\nimport os, sys\nopen('/run/words', 'w').write(','.join(os.fsencode(a).hex() for a in sys.argv[1:]))\n"
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile(program, []byte(script), 0o755)
		d := Description{Name: "words", Kind: KindSocket, Ready: "exec", Sockets: []Socket{{"s", "unix", "/run/words.sock"}}, Command: append([]string{program}, words...)}
		x := manager{t: t, m: m}
		x.install(rendered(t, d))
		// The file is to be written, and seen.
		m.InstallUnit("words.service.d/test.conf", "[Service]\nDynamicUser=no\nProtectSystem=no\nType=oneshot\nRestart=no\nKillMode=control-group\n")
		x.ctl("start", "words.service")
		var want []string
		for _, w := range words {
			want = append(want, fmt.Sprintf("%x", w))
		}
		if got := strings.Split(string(m.ReadFile("/run/words")), ","); !slices.Equal(got, want) {
			t.Errorf("the program saw in hexadecimal\n%q\nwant\n%q", got, want)
		}
	})
}
