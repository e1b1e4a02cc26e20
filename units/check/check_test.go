package check

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOwnPairs: the pairs that this module ships pass, on every systemd that they are
// for.
func TestOwnPairs(t *testing.T) {
	sockets, err := Folders{Dirs: []string{".."}}.own()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sockets {
		pairs, err := Load(Folders{Dirs: []string{".."}}, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []int{247, 252, 257, 262} {
			if pairs[0].Service == nil {
				t.Errorf("%s has no service", name)
				continue
			}
			if t, _ := serviceType(pairs[0].Service); t == "notify-reload" && version < 253 {
				continue // which it says
			}
			for _, f := range Check(pairs, Options{Systemd: version}) {
				t.Errorf("for systemd %d: %v", version, f)
			}
		}
	}
}

// own names the socket units of the folder, and asserts that there are some.
func (f Folders) own() ([]string, error) {
	names := f.Index().all("socket")
	if len(names) < 5 {
		return nil, fmt.Errorf("%d sockets in %q", len(names), f.Dirs)
	}
	return names, nil
}

func TestLoadErrors(t *testing.T) {
	src := memory{"app.socket": "[Socket]\nListenStream=80\n", "big.service": strings.Repeat("#\n", maxFile)}
	for name, want := range map[string]string{
		"absent.service": fs.ErrNotExist.Error(),
		"app.timer":      "want the name of a .service or of a .socket",
		"big.service":    "at most",
	} {
		if _, err := Load(src, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if _, err := Load(Folders{Dirs: []string{t.TempDir()}}, "absent.service"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "absent.service") {
		t.Errorf("got %v, want fs.ErrNotExist that names the unit", err)
	}
	if _, err := Load(Folders{}, "../app.service"); err == nil {
		t.Error("a path is taken for a name")
	}
}

// TestLoadPairs: what belongs together is one pair, whichever half was asked for.
func TestLoadPairs(t *testing.T) {
	const socket, service = "[Socket]\nListenStream=80\n", "[Service]\nExecStart=/bin/true\n"
	dir := write(t, files{
		"app.socket": socket, "app.service": service + "Sockets=admin.socket\n",
		"admin.socket": "[Socket]\nListenStream=81\nService=%p-tool.service\n", "admin-tool.service": service,
		"web.socket":  "[Socket]\nListenStream=82\nService=app.service\n",
		"each.socket": socket + "Accept=yes\n", "each@.service": service,
		"inst@.socket": socket, "inst@.service": service,
	})
	for asked, want := range map[string]string{
		"app.service":    "admin.socket app.socket web.socket app.service",
		"web.socket":     "web.socket admin.socket app.socket app.service",
		"each.socket":    "each.socket each@.service",
		"each@.service":  "each.socket each@.service",
		"inst@1.socket":  "inst@1.socket inst@1.service",
		"inst@1.service": "inst@1.socket inst@1.service",
	} {
		pairs, err := Load(Folders{Dirs: []string{dir}}, asked)
		if err != nil || len(pairs) != 1 {
			t.Errorf("%s: %d pairs, %v", asked, len(pairs), err)
			continue
		}
		var names []string
		for _, u := range pairs[0].Units() {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s makes %s, want %s", asked, got, want)
		}
	}
	pairs, err := Load(Folders{Dirs: []string{dir}}, "app.service", "app.socket", "web.socket", "each.socket")
	if err != nil || len(pairs) != 2 {
		t.Errorf("%d pairs, want 2: %v", len(pairs), err)
	}
}

// TestPlaces: a finding names the file and the line.
func TestPlaces(t *testing.T) {
	c := ruleCase{base: "plain", bad: files{"app.service.d/a.conf": "# a comment\n[Service]\nKillSignal=\\\n SIGKILL\n"}}
	findings := c.run(t, c.over(c.bad))
	if len(findings) != 1 || path.Base(findings[0].File) != "a.conf" || findings[0].Line != 3 {
		t.Errorf("got %v", findings)
	}
}

// TestNeighbours: what two pairs have in common is found where both are checked.
func TestNeighbours(t *testing.T) {
	dir := write(t, files{
		"a.socket": "[Socket]\nListenStream=80\n", "a.service": good["plain"]["app.service"],
		"b.socket": "[Socket]\nListenStream=[::]:80\n", "b.service": good["plain"]["app.service"],
	})
	pairs, err := Load(Folders{Dirs: []string{dir}}, "a.socket", "b.socket")
	if err != nil {
		t.Fatal(err)
	}
	if got := found(Check(pairs, Options{})); !slices.Equal(got, []string{"listen-twice"}) {
		t.Errorf("got %q", got)
	}
	if got := found(Check(pairs[:1], Options{})); len(got) > 0 {
		t.Errorf("alone: %q", got)
	}
	dir = write(t, files{
		"a.socket": "[Socket]\nListenStream=80\nBacklog=5\n", "a.service": good["plain"]["app.service"],
		"b.service": good["plain"]["app.service"] + "Sockets=a.socket\n",
	})
	if pairs, err = Load(Folders{Dirs: []string{dir}}, "a.service", "b.service"); err != nil {
		t.Fatal(err)
	}
	findings := Check(pairs, Options{})
	if got := found(findings); !slices.Equal(got, []string{"backlog-small", "socket-shared"}) || len(findings) != 3 {
		t.Errorf("a socket of two services: %v", findings)
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Second, "1min 30s": 90 * time.Second, "1.5s": 1500 * time.Millisecond, "2h3s": 2*time.Hour + 3*time.Second,
		"100ms": 100 * time.Millisecond, "infinity": forever, "0": 0,
	} {
		if got, ok := parseSpan(text); !ok || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "s", "-5", "5q", "1e9999y", "infinity5"} {
		if got, ok := parseSpan(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestCommands(t *testing.T) {
	for text, want := range map[string][]string{
		"-@/bin/sh sh -c 'a b'": {"/bin/sh", "-c", "a b"},
		"/bin/a \"b c\" d ; e":  {"/bin/a", "b c", "d"},
		"!!+/bin/a":             {"/bin/a"},
		"":                      nil,
	} {
		if got := parseCommand(text).args; !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	cmd := parseCommand("handoffd run --listen a=1 --listen=b=2 -drain-timeout 5s --debug")
	if got := cmd.flags("listen"); !slices.Equal(got, []string{"a=1", "b=2"}) {
		t.Errorf("--listen is %q", got)
	}
	if got, ok := cmd.flag("drain-timeout"); got != "5s" || !ok {
		t.Errorf("-drain-timeout is %q, %v", got, ok)
	}
}

func TestForks(t *testing.T) {
	for text, want := range map[string]bool{
		"/bin/sh -c 'true; app'": true, "/bin/sh -c 'app | cat'": true, "/bin/bash -c 'app | cat'": true, "/sbin/runuser -u a -- app": true,
		"/bin/sh -c 'true; exec app'": false, "/bin/sh -c app": false, "/bin/sh -c 'app >log 2>&1'": false, "/bin/sh -c 'app \"a;b\"'": false,
		"/bin/bash -c 'true; app'": false, "/bin/bash -c 'true || app'": false, "/bin/sh /bin/script": false, "/bin/sh -c 'app $(a; b)'": false, "/bin/app a;b": false,
	} {
		if got := forks(parseCommand(text)) != ""; got != want {
			t.Errorf("%s forks: %v", text, got)
		}
	}
}

// TestShellsDiffer: of a list bash execs the last command, whatever it is called, and
// dash does not.
func TestShellsDiffer(t *testing.T) {
	for text, want := range map[string]bool{
		"/bin/sh -c 'true; app'": true, "/bin/sh -c 'app | cat'": false, "/bin/dash -c 'true; app'": false,
	} {
		if reason := forks(parseCommand(text)); reason == "" || strings.Contains(reason, "where it is dash") != want {
			t.Errorf("%s: %q, of dash alone: %v", text, reason, want)
		}
	}
}

// TestHarmless: what looks like a loss, and is none.
func TestHarmless(t *testing.T) {
	for _, c := range []struct {
		rule string
		bad  files
	}{
		{"address-not-yet", dropIn("app.socket", "[Socket]\nListenDatagram=224.0.0.251:5353\nListenDatagram=[ff05::2]:5354\nListenDatagram=255.255.255.255:5355")},
		{"socket-stops-with-service", dropIn("app.socket", "[Unit]\nPartOf=app.service\n[Socket]\nListenStream=\nListenFIFO=/run/console\nRemoveOnStop=yes")},
		{"start-fails", files{"app.socket.d/a.conf": "[Socket]\nListenStream=\nListenFIFO=/run/console\n", "app.service.d/a.conf": "[Service]\nRestart=no\n"}},
		{"kill-signal", dropIn("app.service", "[Service]\nKillMode=none\nKillSignal=SIGKILL")},
	} {
		findings := ruleCase{}.run(t, ruleCase{base: "plain"}.over(c.bad))
		if slices.Contains(found(findings), c.rule) {
			t.Errorf("%s: %v", c.rule, findings)
		}
	}
}

func TestAddressFamilies(t *testing.T) {
	for text, want := range map[string]bool{
		"AF_INET": true, "AF_INET AF_UNIX": false, "none": true, "~AF_UNIX": true, "~AF_INET": false, "": false,
		"AF_INET\nRestrictAddressFamilies=AF_UNIX": false, "AF_UNIX AF_INET\nRestrictAddressFamilies=~AF_UNIX": true,
		"none\nRestrictAddressFamilies=": false,
	} {
		u := &Unit{Name: "app.service"}
		u.add("app.service", "[Service]\nRestrictAddressFamilies="+text+"\n", true)
		u.held = u.heldBy(Newest)
		if _, got := denied(u, "AF_UNIX"); got != want {
			t.Errorf("%q denies AF_UNIX: %v", text, got)
		}
	}
}

// ExampleCheck checks a pair in a folder.
func ExampleCheck() {
	pairs, err := Load(Folders{Dirs: []string{"testdata/shop"}}, "shop.service")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range Check(pairs, Options{Systemd: 252}) {
		if f.Severity == Loss {
			fmt.Printf("%s:%d: %s\n", path.Base(f.File), f.Line, f.Reason)
		}
	}
	// Output: shop.service:8: a start that fails while a client waits shuts the socket for good
}

// ExampleDropIns mends what a drop-in can.
func ExampleDropIns() {
	findings := []Finding{{Unit: "app.socket", Rule: "flush-pending", Mend: "FlushPending=no", Fix: []Assign{{"app.socket", "Socket", "FlushPending", "no"}}}}
	for unit, text := range DropIns(findings) {
		fmt.Printf("%s:\n%s", unit, text)
	}
	// Output:
	// app.socket:
	// [Socket]
	// # flush-pending: FlushPending=no
	// FlushPending=no
}
