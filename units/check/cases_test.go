package check

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files by name; drop-ins have a name such as "app.socket.d/test.conf".
type files map[string]string

// The pairs that are as they should be. Each bad pair is one of them, with files in
// addition, or in place of its own; an empty text removes one.
var good = map[string]files{
	"plain": {
		"app.socket": "[Socket]\nListenStream=8080\n[Install]\nWantedBy=sockets.target\n",
		"app.service": "[Unit]\nWants=app.socket\nAfter=app.socket\nStartLimitIntervalSec=0\n" +
			"[Service]\nType=notify\nExecStart=/usr/local/bin/app\nNonBlocking=yes\nKillMode=mixed\nRestart=on-failure\nRestartSec=1\n",
	},
	"handoffd": {
		"app.socket": "[Socket]\nListenStream=8080\n[Install]\nWantedBy=sockets.target\n",
		"app.service": "[Unit]\nWants=app.socket\nAfter=app.socket\nStartLimitIntervalSec=0\n" +
			"[Service]\nType=notify\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/app\nExecReload=/usr/local/bin/handoffd reload\n" +
			"FileDescriptorStoreMax=16\nRuntimeDirectory=app\nDelegate=yes\nNonBlocking=yes\nKillMode=mixed\nRestart=on-failure\nRestartSec=1\n",
	},
	"accept": {
		"app.socket":   "[Socket]\nListenStream=8080\nAccept=yes\nMaxConnections=256\nTriggerLimitIntervalSec=0\n[Install]\nWantedBy=sockets.target\n",
		"app@.service": "[Service]\nType=notify\nExecStart=/usr/local/bin/app\n",
	},
}

// masked stands for an empty file, which masks a unit.
const masked = "masked"

// A ruleCase is a pair in which one rule, and no other, finds something.
type ruleCase struct {
	rule     string
	base     string
	bad      files
	mended   files // laid over the base instead; where nil the drop-ins of DropIns mend the bad pair, or the base is what it should be
	systemd  int
	user     bool
	complete bool     // nothing else is there
	lost     scenario // how a client is lost; for each rule of severity Loss
}

// unit is the text of a drop-in for a unit of the base.
func dropIn(unit, text string) files { return files{unit + ".d/test.conf": text + "\n"} }

// over returns f laid over the base.
func (c ruleCase) over(f files) files {
	all := maps.Clone(good[c.base])
	maps.Copy(all, f)
	maps.DeleteFunc(all, func(_, text string) bool { return text == "" })
	return all
}

// fixed is the bad pair, mended.
func (c ruleCase) fixed(findings []Finding) files {
	if c.mended != nil {
		return c.over(c.mended)
	}
	all := c.over(c.bad)
	fixes := DropIns(findings)
	if len(fixes) == 0 {
		all = c.over(nil)
	}
	for name, text := range fixes {
		all[name+".d/zz-mend.conf"] = text
	}
	return all
}

// write puts units into a folder.
func write(t *testing.T, f files) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.TrimSuffix(content, masked)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run checks the pair that the files make.
func (c ruleCase) run(t *testing.T, f files) []Finding {
	t.Helper()
	src := Folders{Dirs: []string{write(t, f)}, User: c.user, Complete: c.complete}
	var names []string
	for _, name := range []string{"app.socket", "second.socket", "app.service"} {
		if _, ok := f[name]; ok {
			names = append(names, name)
		}
	}
	pairs, err := Load(src, names...)
	if err != nil {
		t.Fatal(err)
	}
	return Check(pairs, Options{Systemd: c.systemd})
}

// found are the rules that found something.
func found(findings []Finding) (rules []string) {
	for _, f := range findings {
		rules = append(rules, f.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

func TestRules(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range cases() {
		t.Run(c.rule, func(t *testing.T) {
			seen[c.rule] = true
			findings := c.run(t, c.over(c.bad))
			if got := found(findings); !slices.Equal(got, []string{c.rule}) {
				t.Errorf("the bad pair breaks %q, want %q alone: %v", got, c.rule, findings)
			}
			for _, f := range findings {
				if f.File == "" || f.Line == 0 || f.Reason == "" || f.Mend == "" || f.Man == "" || f.Unit == "" {
					t.Errorf("the finding lacks something: %+v", f)
				}
			}
			if rest := c.run(t, c.fixed(findings)); len(rest) > 0 {
				t.Errorf("the mended pair is not clean: %v", rest)
			}
			c.mended = nil
			if rest := c.run(t, c.fixed(findings)); slices.Contains(found(rest), c.rule) && c.rule != "wrong-section" { // whose line stays
				t.Errorf("the drop-ins do not mend it: %v", rest)
			}
		})
	}
	for _, r := range Rules() {
		if !seen[r.ID] {
			t.Errorf("the rule %s has no bad pair", r.ID)
		}
		if r.Doc == "" || r.Man == "" || r.Reason == "" {
			t.Errorf("the rule %s is not documented: %+v", r.ID, r)
		}
	}
	if n := len(Rules()); n < 40 {
		t.Errorf("there are %d rules", n)
	}
}

func TestGoodPairs(t *testing.T) {
	for base := range good {
		for _, version := range []int{247, 252, 257, 262} {
			c := ruleCase{base: base, systemd: version}
			findings := c.run(t, c.over(nil))
			if len(findings) > 0 {
				t.Errorf("%s on systemd %d: %v", base, version, findings)
			}
		}
	}
}
