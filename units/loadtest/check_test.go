package loadtest

import (
	"strings"
	"testing"
)

func TestChecks(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, test := range []struct {
		name   string
		check  Check
		method string
		sent   string
		got    string
		err    string
	}{
		{"equal", Equals("hello"), "GET", "", "hello", ""},
		{"not equal", Equals("hello"), "GET", "", "hell", `the body is "hell", want "hello"`},
		{"longer", Equals(long), "GET", "", long + "y", `xxx"... (101 bytes), want "xxx`},
		{"echoed", Echo, "POST", "abc", "abc", ""},
		{"not echoed", Echo, "POST", "abc", "abd", `the body is "abd", want that of the request, "abc"`},
		{"digest", Digest, "POST", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n", ""},
		{"other digest", Digest, "POST", "abd", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "want it to hold the request's SHA-256, a52d159f"},
		{"GET by method", ByMethod(Equals("hello"), Echo), "GET", "", "jello", `want "hello"`},
		{"POST by method", ByMethod(Equals("hello"), Echo), "POST", "abc", "jello", `want that of the request`},
		{"neither", ByMethod(nil, nil), "POST", "abc", "jello", ""},
	} {
		err := test.check(Request{Method: test.method, Body: []byte(test.sent)}, Answer{Status: 200, Body: []byte(test.got)})
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		}
	}
}
