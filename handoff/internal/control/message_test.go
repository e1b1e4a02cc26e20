package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestReadMessage(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		err            error
	}{
		{"two", "one\x00two\x00", "one", nil},
		{"empty", "\x00", "", nil},
		{"the most", strings.Repeat("x", 100) + "\x00", strings.Repeat("x", 100), nil},
		{"one more", strings.Repeat("x", 101) + "\x00", "", ErrTooLarge},
		{"far more", strings.Repeat("x", 100_000), "", ErrTooLarge},
		{"nothing", "", "", io.EOF},
		{"cut off", "one", "", io.ErrUnexpectedEOF},
		{"cut off after the most", strings.Repeat("x", 100), "", io.ErrUnexpectedEOF},
	} {
		for how, r := range map[string]io.Reader{
			"":               strings.NewReader(test.in),
			", byte by byte": iotest.OneByteReader(strings.NewReader(test.in)),
		} {
			got, err := readMessage(bufio.NewReaderSize(r, 16), 100)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s%s: %q, %v, want %q, %v", test.name, how, got, err, test.want, test.err)
			}
		}
	}
}

// What is read is what a plain split at the NULs gives, up to the first message
// that is too long.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("one\x00two\x00three"), 4)
	f.Add([]byte("\x00\x00"), 0)
	f.Add(bytes.Repeat([]byte("x"), 50), 49)
	f.Add([]byte(`{"method":"a.b"}`+"\x00"), 100)
	f.Fuzz(func(t *testing.T, in []byte, most int) {
		if most < 0 || most > MaxRequest {
			t.Skip()
		}
		r := bufio.NewReaderSize(bytes.NewReader(in), 16)
		for rest := in; ; {
			want, after, whole := bytes.Cut(rest, []byte{0})
			got, err := readMessage(r, most)
			switch {
			case len(want) > most:
				if !errors.Is(err, ErrTooLarge) {
					t.Fatalf("%d bytes, at most %d: %v", len(want), most, err)
				}
				return
			case !whole && len(want) > 0:
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%q without an end: %v", want, err)
				}
				return
			case !whole:
				if err != io.EOF {
					t.Fatalf("at the end: %v", err)
				}
				return
			case err != nil || !bytes.Equal(got, want):
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
			rest = after
		}
	})
}

// Whatever the parameters are, they are taken or named.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"hold":true}`, `{"hold":null,"program":"/x"}`, `{"hodl":1}`, `[`, `{"hold":{}}`, `{"hold":true,"hold":1}`, `{"dryRun":false}`, `{"":""}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		object := json.RawMessage(in)
		var r ReloadRequest
		invalid, ok := parameters(&object, map[string]any{"hold": &r.Hold, "dryRun": &r.DryRun, "program": &r.Program})
		var members map[string]any
		isObject := json.Unmarshal(in, &members) == nil
		switch {
		case !isObject && (ok || invalid != "parameters"):
			t.Errorf("%q is no object, and %q is invalid", in, invalid)
		case isObject && ok:
			for name, value := range members {
				want := map[string]any{"hold": r.Hold, "dryRun": r.DryRun, "program": r.Program}[name]
				if value != nil && value != want {
					t.Errorf("%q: %s is taken for %v", in, name, want)
				}
			}
		case isObject:
			if _, ok := members[invalid]; !ok {
				t.Errorf("%q: %q is invalid, and not there", in, invalid)
			}
		}
	})
}

// Whatever a server says, a client makes an error of it that it can name.
func FuzzFromWire(f *testing.F) {
	f.Add(errUndone, []byte(`{"generation":1,"reason":"x","output":["a"]}`))
	f.Add(errUndone, []byte(`{"generation":-1}`))
	f.Add(Interface+".NotHeld", []byte(`{}`))
	f.Add("org.varlink.service.InvalidParameter", []byte(`{"parameter":"x"}`))
	f.Add("org.varlink.service.MethodNotFound", []byte(``))
	f.Add("x", []byte(`[]`))
	f.Fuzz(func(t *testing.T, name string, parameters []byte) {
		if name == "" {
			t.Skip("no error")
		}
		if err := fromWire(name, parameters); err == nil || err.Error() == "" {
			t.Errorf("error %q with %q became %#v", name, parameters, err)
		}
	})
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("ä", maxOutput)
	for _, test := range []struct {
		name     string
		in, want []string
	}{
		{"none", nil, nil},
		{"few", []string{"a", "b"}, []string{"a", "b"}},
		{"too long before", []string{long, "a", "b"}, []string{"a", "b"}},
		{"too long at the end", []string{"a", "x" + long}, []string{long[len(long)-maxOutput:]}},
		{"cut in a character", []string{long + "x"}, []string{long[len(long)-maxOutput+2:] + "x"}},
	} {
		got := lastLines(test.in)
		if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: %d lines, want %d", test.name, len(got), len(test.want))
		}
		for _, line := range got {
			if len(line) > maxOutput || !utf8.ValidString(line) {
				t.Errorf("%s: a line of %d bytes", test.name, len(line))
			}
		}
	}
}
