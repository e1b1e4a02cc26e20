package supervisor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseEnvironment(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{name: "empty"},
		{name: "comments", text: "# a=b\n; c=d\n\n  \n"},
		{name: "plain", text: "A=1\nB_2=x y\n C = \n", err: `line 3: "C ="`},
		{name: "values", text: "A=1\nB_2=x=y z\nC=\n", want: []string{"A=1", "B_2=x=y z", "C="}},
		{name: "quotes", text: "A=\"x # y\"\nB='\"'\nC=\"\"\n", want: []string{"A=x # y", `B="`, "C="}},
		{name: "line ends", text: "A=1\r\nB=2", want: []string{"A=1", "B=2"}},
		{name: "open quote", text: "A=\"x\n", err: "line 1: the value of A has no closing quote"},
		{name: "one quote", text: "A='\n", err: "line 1: the value of A has no closing quote"},
		{name: "no assignment", text: "A=1\nexport\n", err: `line 2: "export": want KEY=VALUE`},
		{name: "export", text: "export A=1\n", err: `line 1: "export A=1"`},
		{name: "no key", text: "=x\n", err: `line 1: "=x"`},
		{name: "digit", text: "1A=x\n", err: `line 1: "1A=x"`},
		{name: "NUL", text: "A=x\x00y\n", err: "line 1: the value of A holds a NUL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "env")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			env, err := ReadEnvironment(path)
			if c.err == "" {
				if err != nil || !slices.Equal(env, c.want) {
					t.Errorf("got %q, %v, want %q", env, err, c.want)
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), path+": "+c.err) {
				t.Errorf("got %v, want %s: %s", err, path, c.err)
			}
		})
	}
	if _, err := ReadEnvironment("/absent"); !os.IsNotExist(err) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

func FuzzParseEnvironment(f *testing.F) {
	for _, text := range []string{"", "A=1\n", "A='x'\n#\n;\nB=\"", "=\n", "A=\x00", "é=1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env, err := parseEnvironment(text)
		for _, v := range env {
			key, value, ok := strings.Cut(v, "=")
			if err != nil || !ok || !validKey(key) || strings.ContainsAny(value, "\n\x00") {
				t.Errorf("%q, %v of %q", v, err, text)
			}
		}
	})
}

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		text string
		want Address
		ok   bool
	}{
		{"http=8080", Address{"http", "tcp", ":8080"}, true},
		{"http=:8080", Address{"http", "tcp", ":8080"}, true},
		{"http=127.0.0.1:0", Address{"http", "tcp", "127.0.0.1:0"}, true},
		{"http=[::1]:80", Address{"http", "tcp", "[::1]:80"}, true},
		{"http=tcp:localhost:80", Address{"http", "tcp", "localhost:80"}, true},
		{"stats=udp:8125", Address{"stats", "udp", ":8125"}, true},
		{"stats=udp::8125", Address{"stats", "udp", ":8125"}, true},
		{"a=/run/a=b", Address{"a", "unix", "/run/a=b"}, true},
		{"a=@a", Address{"a", "unix", "@a"}, true},
		{"a=unix:rel", Address{"a", "unix", "rel"}, true},
		{"a=unixgram:/run/a", Address{"a", "unixgram", "/run/a"}, true},
		{"8080", Address{}, false},
		{"http=", Address{}, false},
		{"=8080", Address{}, false},
		{"a:b=8080", Address{}, false},
	} {
		a, err := ParseAddress(c.text)
		if a != c.want || (err == nil) != c.ok {
			t.Errorf("%q: got %+v, %v, want %+v", c.text, a, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q: the error does not quote it: %v", c.text, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"http=8080", "a=udp:", "=", "a=@"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err == nil && (a.Name == "" || a.Network == "") {
			t.Errorf("%q: %+v", text, a)
		}
	})
}

func TestParseReady(t *testing.T) {
	for _, c := range []struct {
		text string
		want Ready
		ok   bool
	}{
		{"notify", Ready{}, true},
		{"exec", Ready{mode: readyExec}, true},
		{"alive:2s", Ready{readyAlive, 2 * time.Second}, true},
		{"alive:0s", Ready{}, false},
		{"alive:-1s", Ready{}, false},
		{"alive", Ready{}, false},
		{"alive:soon", Ready{}, false},
		{"", Ready{}, false},
	} {
		r, err := ParseReady(c.text)
		if r != c.want || (err == nil) != c.ok {
			t.Errorf("%q: got %v, %v, want %v", c.text, r, err, c.want)
		}
		if err == nil && r.String() != c.text {
			t.Errorf("%q: String gives %q", c.text, r)
		}
	}
}

func TestParseNotifyAccess(t *testing.T) {
	for text, want := range map[string]NotifyAccess{"main": NotifyMain, "all": NotifyAll} {
		if a, err := ParseNotifyAccess(text); err != nil || a != want {
			t.Errorf("%q: got %v, %v", text, a, err)
		}
	}
	if _, err := ParseNotifyAccess("none"); err == nil {
		t.Error("none is taken")
	}
}

func TestParseStopSignal(t *testing.T) {
	for text, want := range map[string]syscall.Signal{
		"TERM": 15, "SIGTERM": 15, "quit": 3, "sigusr1": 10, "15": 15, "37": 37, "31": 31,
		"RTMIN": 34, "SIGRTMIN": 34, "RTMIN+3": 37, "SIGRTMIN+30": 64, "rtmax-1": 63, "RTMAX": 64,
	} {
		if sig, err := ParseStopSignal(text); err != nil || sig != want {
			t.Errorf("%q: got %d, %v, want %d", text, sig, err, want)
		}
	}
	for _, text := range []string{
		"", "SIG", "NOSUCH", "0", "-1", "32", "33", "65", "1x", "15 ", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN3", "RTMIN+", "RTMIN++1",
		"STOP", "19", "SIGCONT", "99999999999999999999",
	} {
		if sig, err := ParseStopSignal(text); err == nil {
			t.Errorf("%q is taken for %d", text, sig)
		}
	}
}
