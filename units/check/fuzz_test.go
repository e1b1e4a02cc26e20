package check

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
)

// memory is a Source of units in memory.
type memory map[string]string

func (m memory) Find(name string) (Files, error) {
	f := Files{Name: name}
	if _, ok := m[name]; !ok {
		return f, fs.ErrNotExist
	}
	f.Fragment, f.Masked = name, m[name] == ""
	if _, ok := m[name+".d/x.conf"]; ok {
		f.DropIns = []string{name + ".d/x.conf"}
	}
	return f, nil
}

func (m memory) Read(path string) (string, error)  { return m[path], nil }
func (m memory) Sockets(string) ([]string, error)  { return []string{"app.socket", "other.socket"}, nil }
func (m memory) Services(string) ([]string, error) { return []string{"other.service"}, nil }

// FuzzCheck: whatever files say, no rule panics, and what mends a pair can be written
// down.
func FuzzCheck(f *testing.F) {
	for _, c := range cases() {
		all := c.over(c.bad)
		f.Add(all["app.socket"], all["app.service"], all["app.service.d/test.conf"], all["other.socket"], uint16(c.systemd))
	}
	f.Add("[Socket]\nListenStream=[::1%lo]:%i\nService=@.service\n", "[Service]\nExecStart=@-/bin/kill -- -s\nSockets=%i\n", "[Service]\nExecStop=kill -\nTimeoutStopSec=1e400y\n", "", uint16(9))
	f.Fuzz(func(t *testing.T, socket, service, dropIn, other string, version uint16) {
		m := memory{
			"app.socket": socket, "app.service": service, "app.service.d/x.conf": dropIn, "app@.service": service,
			"other.socket": other, "other.service": service,
		}
		pairs, err := Load(m, "app.socket", "other.socket", "app.service", "app@.service")
		if err != nil {
			return
		}
		findings := Check(pairs, Options{Systemd: int(version)})
		for _, f := range findings {
			if f.Reason == "" || f.Mend == "" || f.File == "" {
				t.Errorf("a finding lacks something: %+v", f)
			}
		}
		for unit, text := range DropIns(findings) {
			if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "# ") {
				t.Errorf("the drop-in for %s: %q", unit, text)
			}
		}
	})
}

// FuzzNames: names make folders and patterns.
func FuzzNames(f *testing.F) {
	f.Add("foo-bar@baz.service", "%i %p %n %% %")
	f.Add("-@-.socket", "@%i.service")
	f.Add("a.service", `";`)
	f.Fuzz(func(t *testing.T, name, text string) {
		if !validName(name) {
			return
		}
		for _, folder := range dropInFolders(name) {
			if strings.Contains(folder, "/") || !strings.HasSuffix(folder, ".d") {
				t.Errorf("%q has the folder %q", name, folder)
			}
		}
		u := &Unit{Name: name}
		u.expand(text)
		u.expandName(text)
		parseSpan(text)
		parseCommand(text).signals()
		fatal(units.Option{Section: "Service", Name: "ExecStart", Value: text})
		parseAddress("Stream", text)
	})
}
