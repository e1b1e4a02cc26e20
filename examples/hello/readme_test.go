package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// fences returns the code blocks of the README in this language.
func fences(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for i, part := range strings.Split(string(readme), "```") {
		if code, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			blocks = append(blocks, code)
		}
	}
	return blocks
}

func TestReadmeShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if shown := fences(t, "go"); !slices.Contains(shown, string(program)) {
		t.Errorf("README.md does not show main.go as it is, but %q", shown)
	}
}

// The units of the README serve as they stand there, and keep the port open
// while the service is restarted, more often than systemd lets a unit by default.
func TestReadmeUnits(t *testing.T) {
	pair := map[string]string{}
	for _, text := range fences(t, "ini") {
		first, _, _ := strings.Cut(text, "\n")
		if name, ok := strings.CutPrefix(first, "# "); ok { // else it is a part of a unit
			pair[name] = text
		}
	}
	if len(pair) != 2 || pair["hello.socket"] == "" || pair["hello.service"] == "" {
		t.Fatalf("README.md shows the units %q, want a socket and a service called hello", pair)
	}
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/hello", systemdtest.Build(t, "."), 0o755)
		for name, text := range pair {
			m.InstallUnit(name, text)
		}
		m.Systemctl("start", "hello.socket")
		load, err := loadtest.Start(t.Context(), loadtest.Options{
			URL: "http://127.0.0.1:8080/", Dial: m.Dial, Requests: 40, Rate: 20,
			Check: loadtest.Equals("hello\n"), Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			m.Systemctl("restart", "hello.service")
		}
		result, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if c := result.Total.Counts; c.OK == 0 || c.Refused > 0 {
			t.Errorf("clients saw %+v, want answers and nobody refused", c)
		}
	})
}
