package notify

import (
	"errors"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]address{
		"/run/systemd/notify":             {},
		"@abstract":                       {},
		"/" + strings.Repeat("p", 106):    {},
		"@" + strings.Repeat("a", 107):    {},
		"vsock:2:1234":                    {vsock: true, cid: 2, port: 1234},
		"vsock-stream:2:1":                {vsock: true, kind: "stream", cid: 2, port: 1},
		"vsock-dgram:0:1":                 {vsock: true, kind: "dgram", port: 1},
		"vsock-seqpacket:4294967294:1024": {vsock: true, kind: "seqpacket", cid: 4294967294, port: 1024},
	} {
		want.text = in
		if got, err := parseAddress(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "relative/path", "/", "@", "/nul\x00", "/" + strings.Repeat("p", 107), "@" + strings.Repeat("a", 108),
		"vsock", "vsock:", "vsock:2", "vsock::1234", "vsock:2:", "vsock:2:x", "vsock:-1:2", "vsock:4294967295:1",
		"vsock:2:4294967295", "vsock:4294967296:1", "vsock-:2:1", "vsock-raw:2:1", "vsockstream:2:1", "vsock:2:1:3", "http://host",
	} {
		if got, err := parseAddress(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %+v, %v, want ErrInvalid", in, got, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("/run/systemd/notify")
	f.Add("vsock-stream:2:1234")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if (err != nil) && !errors.Is(err, ErrInvalid) {
			t.Fatalf("%v is of no kind", err)
		}
		if err == nil && a.text != s {
			t.Fatalf("%q became %q", s, a.text)
		}
	})
}
