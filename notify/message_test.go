package notify

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	long := "STATUS=" + strings.Repeat("x", MaxMessage-len("STATUS="))
	for _, tt := range []struct {
		name, in string
		want     Message
		err      error
	}{
		{"one", "READY=1", Message{{"READY", "1"}}, nil},
		{"two", "READY=1\nSTATUS=up", Message{{"READY", "1"}, {"STATUS", "up"}}, nil},
		{"several separators", "\n\rREADY=1\r\n\nSTATUS=up\n", Message{{"READY", "1"}, {"STATUS", "up"}}, nil},
		{"an equals sign in the value", "STATUS=a=b", Message{{"STATUS", "a=b"}}, nil},
		{"empty value", "STATUS=", Message{{"STATUS", ""}}, nil},
		{"unknown key", "X_MINE=7", Message{{"X_MINE", "7"}}, nil},
		{"duplicates in order", "STATUS=a\nSTATUS=b", Message{{"STATUS", "a"}, {"STATUS", "b"}}, nil},
		{"a backslash takes the next byte", `STATUS=a\nb\\c`, Message{{"STATUS", `anb\c`}}, nil},
		{"a backslash swallows the next field", "STATUS=a\\\nREADY=1", Message{{"STATUS", "a\nREADY=1"}}, nil},
		{"a backslash in the key", `RE\ADY=1`, Message{{"READY", "1"}}, nil},
		{"a backslash before the equals sign", `READY\=1`, Message{{"READY", "1"}}, nil},
		{"quotes are plain", `STATUS="a b'`, Message{{"STATUS", `"a b'`}}, nil},
		{"NUL at the end", "READY=1\x00", Message{{"READY", "1"}}, nil},
		{"lines that assign nothing", "READY\n=1\nSTATUS=up", Message{{"STATUS", "up"}}, nil},
		{"empty", "", nil, nil},
		{"one NUL", "\x00", nil, nil},
		{"the longest", long, Message{{"STATUS", long[len("STATUS="):]}}, nil},
		{"too long", long + "x", nil, ErrTooLarge},
		{"NUL inside", "READY=1\x00STATUS=up", nil, ErrInvalid},
		{"two NULs at the end", "READY=1\x00\x00", nil, ErrInvalid},
		{"backslash at the end", `READY=1` + "\n" + `STATUS=a\`, nil, ErrInvalid},
		{"backslash before the last NUL", "STATUS=a\\\x00", nil, ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			if !errors.Is(err, tt.err) || (err != nil) != (tt.err != nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Message
		err  error
		says string
	}{
		{"nothing", nil, ErrInvalid, "without fields"},
		{"no key", Message{{"", "1"}}, ErrInvalid, "without a key"},
		{"key with equals sign", Message{{"A=B", "1"}}, ErrInvalid, `"A=B"`},
		{"key with newline", Message{{"A\nB", "1"}}, ErrInvalid, `"A\nB"`},
		{"newline", Message{{"STATUS", "a\nb"}}, ErrInvalid, `STATUS holds '\n' at byte 1`},
		{"carriage return", Message{{"STATUS", "a\r"}}, ErrInvalid, `'\r' at byte 1`},
		{"NUL", Message{{"STATUS", "\x00"}}, ErrInvalid, `'\x00' at byte 0`},
		{"status not UTF-8", Message{{"STATUS", "\xff"}}, ErrInvalid, "not UTF-8"},
		{"name with colon", Message{fdName("a:b")}, ErrInvalid, `"a:b" holds ':'`},
		{"too long", Message{{"STATUS", strings.Repeat("x", MaxMessage)}}, ErrTooLarge, "4103 bytes"},
		{"too long once escaped", Message{{"STATUS", strings.Repeat(`\`, MaxMessage/2)}}, ErrTooLarge, "4103 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := tt.in.Append([]byte("kept"))
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one that says %q", err, tt.says)
			}
			if string(b) != "kept" {
				t.Errorf("the buffer became %q", b)
			}
		})
	}
}

// every is one field of each kind that sd_notify(3) documents.
var every = Message{
	Ready(), Reloading(), {"MONOTONIC_USEC", "1"}, Stopping(), Status(`all\ well\`), Errno(2),
	{"BUSERROR", "org.example.Failed"}, {"VARLINKERROR", "io.example.Failed"}, {"EXIT_STATUS", "3"}, {"NOTIFYACCESS", "all"},
	MainPID(4), {"MAINPIDFDID", "5"}, {"MAINPIDFD", "1"}, WatchdogPing(), {"WATCHDOG", "trigger"}, {"WATCHDOG_USEC", "6"},
	{"EXTEND_TIMEOUT_USEC", "1000000"}, {"RESTART_RESET", "1"}, fdStore, fdStoreRemove, fdName("a b"), noFDPoll, {"BARRIER", "1"},
}

func TestEveryAssignment(t *testing.T) {
	want := `READY=1
RELOADING=1
MONOTONIC_USEC=1
STOPPING=1
STATUS=all\\ well\\
ERRNO=2
BUSERROR=org.example.Failed
VARLINKERROR=io.example.Failed
EXIT_STATUS=3
NOTIFYACCESS=all
MAINPID=4
MAINPIDFDID=5
MAINPIDFD=1
WATCHDOG=1
WATCHDOG=trigger
WATCHDOG_USEC=6
EXTEND_TIMEOUT_USEC=1000000
RESTART_RESET=1
FDSTORE=1
FDSTOREREMOVE=1
FDNAME=a b
FDPOLL=0
BARRIER=1`
	b, err := every.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("got %s\nwant %s", b, want)
	}
	got, err := Parse(b)
	if err != nil || !slices.Equal(got, every) {
		t.Errorf("came back as %q, %v", got, err)
	}
}

func TestMessageLookup(t *testing.T) {
	m := Message{{"STATUS", "first"}, {"READY", "0"}, {"STATUS", "second"}, {"READY", "1"}}
	if v, ok := m.Get("STATUS"); !ok || v != "first" {
		t.Errorf("Get took %q, %v, want the first", v, ok)
	}
	if _, ok := m.Get("ERRNO"); ok {
		t.Error("Get found what is not there")
	}
	if !m.Has("READY", "1") || m.Has("READY", "2") {
		t.Error("Has must look at every field")
	}
	for in, want := range map[string]string{"": "", "a b": "a b", "a:b": "stored", strings.Repeat("n", 256): "stored"} {
		if got := (Message{{"FDNAME", in}}).FDName(); got != want {
			t.Errorf("FDNAME=%q names it %q, want %q", in, got, want)
		}
	}
	if got := (Message{}).FDName(); got != "stored" {
		t.Errorf("no FDNAME names it %q, want stored", got)
	}
}

func TestParseUsec(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "1500": 1500 * time.Microsecond, "18446744073709551615": math.MaxInt64,
	} {
		if got, err := ParseUsec(in); err != nil || got != want {
			t.Errorf("ParseUsec(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "1s", "1.5", "18446744073709551616"} {
		if _, err := ParseUsec(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseUsec(%q): %v, want ErrInvalid", in, err)
		}
	}
}

// roundTrip says what is wrong if m does not come back whole from its own bytes.
func roundTrip(t interface {
	Fatalf(format string, args ...any)
}, m Message) {
	b, err := m.Append(nil)
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrTooLarge) {
		return
	}
	if err != nil {
		t.Fatalf("%q: %v is of no kind", m, err)
	}
	got, err := Parse(b)
	if err != nil || !slices.Equal(got, m) {
		t.Fatalf("%q went as %q and came back as %q, %v", m, b, got, err)
	}
}

func TestRoundTrip(t *testing.T) {
	field := rapid.Custom(func(t *rapid.T) Field {
		return Field{rapid.StringMatching(`[A-Z_\\ ]{1,12}`).Draw(t, "key"), rapid.StringMatching(`[^\n\r\x00]{0,40}`).Draw(t, "value")}
	})
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, rapid.SliceOfN(field, 1, 12).Draw(t, "message"))
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"READY=1", "STATUS=a\\\nREADY=1", "STATUS=\\\\\n", "A=\x00", "\n\r=\\=", "FDSTORE=1\nFDNAME=a b\nFDPOLL=0"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%v is of no kind", err)
			}
			return
		}
		if len(m) > 0 {
			roundTrip(t, m)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("STATUS", `a\`, "READY", "1")
	f.Add(`\K`, `\\`, "=", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) { roundTrip(t, Message{{k1, v1}, {k2, v2}}) })
}
