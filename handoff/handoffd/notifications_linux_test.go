package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/poll"
)

// speakerSays is the environment variable with what the program "speaker" sends when
// it starts, and speakerFirst what only the first generation sends after that.
const (
	speakerSays  = "HANDOFFD_TEST_SAYS"
	speakerFirst = "HANDOFFD_TEST_SAYS_FIRST"
)

// speaker is a program that sends notifications, and then nothing any more.
func speaker() error {
	n, err := notify.Open()
	if err != nil {
		return err
	}
	defer n.Close()
	texts := []string{os.Getenv(speakerSays)}
	if os.Getenv("HANDOFF_GENERATION") == "1" {
		texts = append(texts, os.Getenv(speakerFirst))
	}
	for _, text := range texts {
		m, err := notify.Parse([]byte(text))
		if err == nil && len(m) > 0 {
			err = n.Send(context.Background(), m...)
		}
		if err != nil {
			return err
		}
	}
	time.Sleep(time.Hour)
	return nil
}

// generations returns those that handoffd tells of.
func (d *instance) generations() []control.Generation {
	d.t.Helper()
	out, code := verb(d.t, "status", "--json", "--control", d.control)
	if code != 0 && code != exitDown {
		d.t.Fatalf("status exits with %d: %s", code, out)
	}
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		d.t.Fatal(err)
	}
	return s.Generations
}

// speaking starts handoffd on the program "speaker", which serves nobody.
func speaking(t *testing.T, says, first string, flags ...string) *instance {
	t.Helper()
	t.Setenv(speakerSays, says)
	t.Setenv(speakerFirst, first)
	script := helper + `=speaker exec "$0"`
	return standalone(t, append(flags, "--accept-later", "--", "/bin/sh", "-c", script, executable(t))...)
}

// TestProgramSetsWatchdog: a program may shorten the watchdog for itself, sd_notify(3).
func TestProgramSetsWatchdog(t *testing.T) {
	d := speaking(t, "READY=1", "WATCHDOG_USEC=1000", "--watchdog", "1h")
	poll.Until(t, "the generation that was silent for a millisecond is replaced", func() bool {
		g := d.generations()
		return len(g) == 1 && g[0].Number > 1 && g[0].State == "serving"
	})
}

// TestStatusIsClipped: what a program says of itself is shown at a length, and in
// characters, that a terminal bears.
func TestStatusIsClipped(t *testing.T) {
	const most = 1000
	d := speaking(t, "READY=1\nSTATUS=begins \x1b[31m"+strings.Repeat("x", 2*most), "")
	var text string
	poll.Until(t, "the status is known", func() bool {
		text = d.generations()[0].Status
		return text != ""
	})
	if !strings.HasPrefix(text, "begins ") || !strings.HasSuffix(text, "x...") || len(text) > most+len("...") {
		t.Errorf("of the status this is left, %d bytes: %q", len(text), text)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("a terminal would obey %q", text)
	}
}
