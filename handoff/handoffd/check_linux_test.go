package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/tools"
	"github.com/holdfast-go/holdfast/units/check"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// pairIn writes a pair with a drop-in, and returns the path of its service.
func pairIn(t *testing.T, dropIn string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"app.socket":           "[Socket]\nListenStream=8080\n",
		"app.service":          "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart=/bin/app\nRestart=on-failure\nRestartSec=1\n",
		"app.socket.d/a.conf":  "[Socket]\n" + dropIn + "\n",
		"app.service.d/a.conf": "[Service]\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "app.service")
}

func TestCheckVerb(t *testing.T) {
	lost, unwise := pairIn(t, "FlushPending=yes"), pairIn(t, "Backlog=5")
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{lost}, exitUndone, []string{"/app.socket.d/a.conf:2: loss: ", "[flush-pending]", "mend: FlushPending=no", "systemd.socket(5)", "1 loss, 0 ineffective, 0 unwise in 1 of 2 units, for systemd "}},
		{[]string{filepath.Join(filepath.Dir(lost), "app.socket.d/a.conf")}, exitUndone, []string{"[flush-pending]"}},
		{[]string{unwise}, exitDone, []string{"unwise: ", "[backlog-small]"}},
		{[]string{"--systemd", "247", pairIn(t, "PollLimitBurst=5")}, exitDone, []string{"ineffective: systemd 247 ignores PollLimitBurst=", "for systemd 247"}},
		{[]string{pairIn(t, "")}, exitDone, []string{"nothing found in 2 units, for systemd "}},
		{[]string{"--fix", lost}, exitUndone, []string{"# " + filepath.Dir(lost) + "/app.socket.d/zz-handoffd-check.conf\n[Socket]\n# flush-pending: FlushPending=no\nFlushPending=no\n"}},
		{[]string{"--fix", "--user", pairIn(t, "MaxConnections=5")}, exitDone, []string{"# By hand, ", "max-connections-ignored"}},
		{[]string{"--rules"}, exitDone, []string{"flush-pending (loss: clients that wait in the queue are reset)", "https://github.com/systemd/systemd/issues/19198"}},
		{nil, exitUsage, []string{"no unit"}},
		{[]string{lost + "x"}, exitUsage, []string{"app.servicex"}},
		{[]string{filepath.Join(filepath.Dir(lost), "absent.service")}, exitUsage, []string{"absent.service"}},
		{[]string{filepath.Dir(lost)}, exitUsage, []string{"is a folder"}},
		{[]string{"."}, exitUsage, []string{"is a folder"}},
		{[]string{"testdata"}, exitUsage, []string{"unit testdata.service"}}, // a folder here
		{[]string{"apt-daily.timer"}, exitUsage, []string{`unit "apt-daily.timer": want the name of a .service or of a .socket`}},
		{[]string{filepath.Join(filepath.Dir(lost), "service.d/a.conf")}, exitUsage, []string{"is for all units that service.d is the folder of"}},
		{[]string{filepath.Join(filepath.Dir(lost), "app-.service.d/a.conf")}, exitUsage, []string{"want the name or the file of one"}},
		{[]string{"--systemd", "-1", lost}, exitUsage, []string{"--systemd -1"}},
		{[]string{"--systemd", "12", lost}, exitUsage, []string{"--systemd 12: want a version from 247 to 262"}},
		{[]string{"--systemd", "2520", lost}, exitUsage, []string{"--systemd 2520"}},
		{[]string{"--json", "--fix", lost}, exitUsage, []string{"--json and --fix"}},
		{[]string{"--write", lost}, exitUsage, []string{"--write is for --fix"}},
	} {
		out, code := verb(t, append([]string{"check"}, c.args...)...)
		if code != c.code {
			t.Errorf("check %q exits with %d, want %d", c.args, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("check %q lacks %q:\n%s", c.args, want, out)
			}
		}
	}
}

// TestCheckWrite: what --fix --write writes mends the pair, also where there was
// something to mend before.
func TestCheckWrite(t *testing.T) {
	service := pairIn(t, "FlushPending=yes")
	dropIn := filepath.Join(filepath.Dir(service), "app.socket.d/zz-handoffd-check.conf")
	for range 2 {
		out, code := verb(t, "check", "--fix", "--write", service)
		if code != exitUndone || out != dropIn+"\n" {
			t.Errorf("exit %d: %s, want %s", code, out, dropIn)
		}
		if out, code := verb(t, "check", service); code != exitDone || !strings.Contains(out, "nothing found") {
			t.Errorf("mended: exit %d: %s", code, out)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(service), "app.socket.d/b.conf"), []byte("[Socket]\nPrivateNetwork=yes\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(dropIn)
	if err != nil || !strings.Contains(string(text), "FlushPending=no") || !strings.Contains(string(text), "PrivateNetwork=no") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestCheckSARIF(t *testing.T) {
	service := pairIn(t, "FlushPending=yes\nBacklog=5")
	t.Chdir(filepath.Dir(service))
	out, code := verb(t, "check", "--sarif", service)
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Level string
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &log); err != nil || code != exitUndone || len(log.Runs) != 1 || log.Version != "2.1.0" {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	run := log.Runs[0]
	if len(run.Tool.Driver.Rules) != len(check.Rules()) || len(run.Results) != 2 {
		t.Fatalf("%d rules, %d results", len(run.Tool.Driver.Rules), len(run.Results))
	}
	r := run.Results[0]
	if at := r.Locations[0].PhysicalLocation; r.RuleID != "flush-pending" || r.Level != "error" || at.ArtifactLocation.URI != "app.socket.d/a.conf" || at.Region.StartLine != 2 {
		t.Errorf("got %+v", r)
	}
	if run.Results[1].Level != "note" {
		t.Errorf("got %+v", run.Results[1])
	}
	if out, _ := verb(t, "check", "--sarif", pairIn(t, "")); !strings.Contains(out, `"results": []`) {
		t.Errorf("no findings are %s", out)
	}
}

func TestCheckJSON(t *testing.T) {
	out, code := verb(t, "check", "--json", "--systemd", "252", pairIn(t, "FlushPending=yes"))
	var r tools.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != exitUndone || r.Systemd != 252 || !slices.Equal(r.Units, []string{"app.socket", "app.service"}) || len(r.Findings) != 1 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if f := r.Findings[0]; f.Rule != "flush-pending" || f.Severity != check.Loss || f.Unit != "app.socket" || f.Line != 2 || f.Mend == "" ||
		!slices.Equal(f.Fix, []check.Assign{{Unit: "app.socket", Section: "Socket", Name: "FlushPending", Value: "no"}}) {
		t.Errorf("got %+v", f)
	}
	if out, _ := verb(t, "check", "--json", pairIn(t, "")); !strings.Contains(out, `"findings": []`) {
		t.Errorf("no findings are %s", out)
	}
}

// TestCheckLiveUnit asks a running manager for its units: those that it has loaded,
// with what systemctl set-property has added.
func TestCheckLiveUnit(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		run := func(args ...string) tools.Report {
			t.Helper()
			out, _ := handoffd(t, m, append([]string{"check", "--json"}, args...)...)
			var r tools.Report
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return r
		}
		if r := run(service); len(r.Findings) > 0 || r.Systemd != m.Version() || !slices.Equal(r.Units, []string{"holdfast-app.socket", service}) {
			t.Errorf("the pair as it is: %+v", r)
		}
		m.InstallUnit("holdfast-app.socket.d/flush.conf", "[Socket]\nFlushPending=yes\n")
		m.InstallUnit("second.socket", "[Socket]\nListenStream=127.0.0.1:8082\nService="+service+"\nFreeBind=yes\n")
		m.InstallUnit("each.socket", "[Socket]\nListenStream=127.0.0.1:8083\nAccept=yes\nService=x.service\n")
		m.InstallUnit("each@.service", "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n")
		m.InstallUnit("masked.socket", "[Socket]\nListenStream=127.0.0.1:8084\n")
		m.Output("ln", "-s", "/dev/null", "/etc/systemd/system/masked.service")
		m.DaemonReload()
		r := run("holdfast-app") // as systemctl has it
		if !slices.Equal(r.Units, []string{"holdfast-app.socket", "second.socket", service}) {
			t.Errorf("the units are %q", r.Units)
		}
		if !slices.ContainsFunc(r.Findings, func(f check.Finding) bool {
			return f.Rule == "flush-pending" && f.File == "/etc/systemd/system/holdfast-app.socket.d/flush.conf"
		}) {
			t.Errorf("the drop-in is not found: %+v", r.Findings)
		}
		for unit, rule := range map[string]string{"each.socket": "accept-service", "masked.socket": "service-masked"} {
			if r := run(unit); len(r.Findings) == 0 || r.Findings[0].Rule != rule {
				t.Errorf("%s: %+v, want %s", unit, r.Findings, rule)
			}
		}
		if out, err := handoffd(t, m, "check", "absent.service"); err == nil || !strings.Contains(out, "absent.service") {
			t.Errorf("a unit that there is not: %v: %s", err, out)
		}
	})
}

// TestCheckKnowsRun: the rules know the flags of run, and no others.
func TestCheckKnowsRun(t *testing.T) {
	known := check.RunFlags()
	for _, f := range runCommand().Flags {
		for _, name := range f.Names() {
			if !slices.Contains(known, name) {
				t.Errorf("the rules do not know --%s", name)
			}
		}
	}
	for _, name := range known {
		if !slices.ContainsFunc(runCommand().Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }) && name != "help" && name != "h" {
			t.Errorf("handoffd run has no --%s", name)
		}
	}
}
