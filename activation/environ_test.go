package activation

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// self is the process that the parser's tests speak for.
var self = identity{pid: 42, pidfdID: func() (uint64, bool) { return 4711, true }}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		value, ok := env[key]
		return value, ok
	}
}

func TestParseEnviron(t *testing.T) {
	const huge = "99999999999999999999"
	for _, tt := range []struct {
		name  string
		env   map[string]string
		want  []string
		is    error
		quote string // in the error's text
	}{
		{name: "nothing", env: nil},
		{name: "one", env: map[string]string{envPID: "42", envFDs: "1", envNames: "http"}, want: []string{"http"}},
		{name: "two", env: map[string]string{envPID: "42", envFDs: "2", envNames: "http:admin"}, want: []string{"http", "admin"}},
		{name: "several under one name", env: map[string]string{envPID: "42", envFDs: "2", envNames: "http:http"}, want: []string{"http", "http"}},
		{name: "no names", env: map[string]string{envPID: "42", envFDs: "2"}, want: []string{Unknown, Unknown}},
		{name: "one empty name", env: map[string]string{envPID: "42", envFDs: "1", envNames: ""}, want: []string{""}},
		{name: "empty names", env: map[string]string{envPID: "42", envFDs: "3", envNames: ":a:"}, want: []string{"", "a", ""}},
		{name: "a backslash stays", env: map[string]string{envPID: "42", envFDs: "2", envNames: `a\:b\x3a`}, want: []string{`a\`, `b\x3a`}},
		{name: "own pidfd", env: map[string]string{envPID: "42", envPIDFDID: "4711", envFDs: "1"}, want: []string{Unknown}},
		{name: "another pidfd", env: map[string]string{envPID: "42", envPIDFDID: "4712", envFDs: "1"}},
		{name: "another process", env: map[string]string{envPID: "43", envFDs: "1"}},
		{name: "another process's nonsense", env: map[string]string{envPID: "43", envPIDFDID: "x", envFDs: "x"}},
		{name: "no process", env: map[string]string{envFDs: "1"}},
		{name: "no descriptors", env: map[string]string{envPID: "42", envNames: "http"}},

		{name: "empty PID", env: map[string]string{envPID: "", envFDs: "1"}, is: ErrVariable, quote: `LISTEN_PID=""`},
		{name: "PID of letters", env: map[string]string{envPID: "4x", envFDs: "1"}, is: ErrVariable, quote: `LISTEN_PID="4x"`},
		{name: "PID 0", env: map[string]string{envPID: "0", envFDs: "1"}, is: ErrVariable, quote: `LISTEN_PID="0"`},
		{name: "negative PID", env: map[string]string{envPID: "-42", envFDs: "1"}, is: ErrVariable, quote: `LISTEN_PID="-42"`},
		{name: "huge PID", env: map[string]string{envPID: huge, envFDs: "1"}, is: ErrVariable, quote: huge},
		{name: "pidfd of letters", env: map[string]string{envPID: "42", envPIDFDID: "0x12", envFDs: "1"}, is: ErrVariable, quote: `LISTEN_PIDFDID="0x12"`},
		{name: "count of letters", env: map[string]string{envPID: "42", envFDs: "two\n"}, is: ErrVariable, quote: `LISTEN_FDS="two\n"`},
		{name: "count 0", env: map[string]string{envPID: "42", envFDs: "0"}, is: ErrVariable, quote: `LISTEN_FDS="0"`},
		{name: "negative count", env: map[string]string{envPID: "42", envFDs: "-1"}, is: ErrVariable, quote: `LISTEN_FDS="-1"`},
		{name: "huge count", env: map[string]string{envPID: "42", envFDs: huge}, is: ErrVariable, quote: huge},
		{name: "count above the cap", env: map[string]string{envPID: "42", envFDs: "1048577"}, is: ErrVariable, quote: "at most 1048576"},
		{name: "too few names", env: map[string]string{envPID: "42", envFDs: "3", envNames: "a:b"},
			want: []string{Unknown, Unknown, Unknown}, is: ErrNames, quote: `LISTEN_FDS="3" and LISTEN_FDNAMES="a:b"`},
		{name: "too many names", env: map[string]string{envPID: "42", envFDs: "1", envNames: "a:b"},
			want: []string{Unknown}, is: ErrNames, quote: "1 descriptors, 2 names"},
		{name: "a long value is cut", env: map[string]string{envPID: strings.Repeat("9", 100_000), envFDs: "1"}, is: ErrVariable, quote: "... (100000 bytes)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseEnviron(lookupIn(tt.env), self)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got names %q, want %q", got, tt.want)
			}
			if !errors.Is(err, tt.is) {
				t.Errorf("got error %v, want one that is %v", err, tt.is)
			}
			if err != nil && !strings.Contains(err.Error(), tt.quote) {
				t.Errorf("got error %v, want one that says %s", err, tt.quote)
			}
		})
	}
}

func TestParseEnvironWithoutOwnPidfdID(t *testing.T) {
	who := identity{pid: 42, pidfdID: func() (uint64, bool) { return 0, false }}
	got, err := parseEnviron(lookupIn(map[string]string{envPID: "42", envPIDFDID: "4712", envFDs: "1"}), who)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %q, %v; want one descriptor: an identity that cannot be checked is not held against it", got, err)
	}
}

func FuzzParseEnviron(f *testing.F) {
	f.Add("42", "4711", "2", "http:admin")
	f.Add("42", "", "1048576", "")
	f.Add("-1", "x", "0", ":::")
	f.Add("43", "1", "99999999999", `a\`)
	f.Add("42", "18446744073709551616", "+1", "\x00\xff")
	f.Fuzz(func(t *testing.T, pid, id, fds, names string) {
		env := map[string]string{envPID: pid, envFDs: fds, envNames: names}
		if id != "" {
			env[envPIDFDID] = id
		}
		got, err := parseEnviron(lookupIn(env), self)
		if len(got) > maxDescriptors {
			t.Fatalf("%d descriptors, more than the cap", len(got))
		}
		if len(got) > 0 && strconv.Itoa(len(got)) != strings.TrimLeft(fds, "0") {
			t.Fatalf("LISTEN_FDS=%q gave %d names", fds, len(got))
		}
		if err != nil && !errors.Is(err, ErrVariable) && !errors.Is(err, ErrNames) {
			t.Fatalf("error %v is none of those documented", err)
		}
		if err != nil && errors.Is(err, ErrNames) != (len(got) > 0) {
			t.Fatalf("names %q came with %v", got, err)
		}
		if err == nil && len(got) > 0 && strings.Join(got, ":") != names {
			t.Fatalf("LISTEN_FDNAMES=%q was read as %q", names, got)
		}
	})
}

// parseEncoded reads what Environ wrote, as the child with PID 42 would.
func parseEncoded(env []string) ([]string, error) {
	vars := map[string]string{envPID: "42"}
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		vars[key] = value
	}
	return parseEnviron(lookupIn(vars), self)
}

func FuzzEnvironRoundTrip(f *testing.F) {
	f.Add("http\nadmin")
	f.Add("")
	f.Add("\n\n")
	f.Add(`a\` + "\nb c")
	f.Add("a:b")
	f.Add(strings.Repeat("x", 256))
	f.Fuzz(func(t *testing.T, joined string) {
		names := strings.Split(joined, "\n")
		env, err := Environ(nil, names...)
		if valid := !slices.ContainsFunc(names, func(n string) bool { return CheckName(n) != nil }); valid != (err == nil) {
			t.Fatalf("Environ(%q): %v, but valid is %v", names, err, valid)
		}
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Fatalf("error %v is not ErrName", err)
			}
			return
		}
		if got, err := parseEncoded(env); err != nil || !slices.Equal(got, names) {
			t.Fatalf("%q was encoded as %q and read as %q, %v", names, env, got, err)
		}
	})
}

func TestEnvironRoundTripOfManyNames(t *testing.T) {
	name := rapid.StringMatching(`[ -9;-~]{0,255}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(name, 1, 1000).Draw(t, "names")
		env, err := Environ([]string{"PATH=/bin", "LISTEN_FDS=77"}, names...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseEncoded(env); err != nil || !slices.Equal(got, names) {
			t.Fatalf("%q was read as %q, %v", names, got, err)
		}
	})
}

func TestEnvironLeavesOutAnotherActivation(t *testing.T) {
	env := []string{"PATH=/bin", "LISTEN_PID=1", "LISTEN_PIDFDID=2", "LISTEN_FDS=3", "LISTEN_FDNAMES=a:b:c",
		"REMOTE_ADDR=192.0.2.1", "REMOTE_PORT=4", "LISTEN_FDSX=kept", "HOME=/root"}
	before := slices.Clone(env)
	got, err := Environ(env)
	if want := []string{"PATH=/bin", "LISTEN_FDSX=kept", "HOME=/root"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	got, err = Environ(env, "x", "")
	if want := []string{"PATH=/bin", "LISTEN_FDSX=kept", "HOME=/root", "LISTEN_FDS=2", "LISTEN_FDNAMES=x:"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if !slices.Equal(env, before) {
		t.Errorf("the caller's environment was changed to %q", env)
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "http": true, "a b~!": true, `back\slash`: true, strings.Repeat("x", 255): true,
		"a:b": false, "tab\t": false, "line\n": false, "nul\x00": false, "del\x7f": false, "\xff": false, "ü": false,
		strings.Repeat("x", 256): false,
	} {
		if err := CheckName(name); (err == nil) != want || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("CheckName(%q) is %v, want %t", name, err, want)
		}
	}
}
