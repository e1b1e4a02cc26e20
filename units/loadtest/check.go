package loadtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Equals is a Check that wants exactly this body.
func Equals(body string) Check {
	return func(_ Request, a Answer) error {
		if string(a.Body) != body {
			return fmt.Errorf("the body is %s, want %s", quote(a.Body), quote([]byte(body)))
		}
		return nil
	}
}

// Echo is a Check that wants the body of the request back, byte for byte.
func Echo(r Request, a Answer) error {
	if !bytes.Equal(a.Body, r.Body) {
		return fmt.Errorf("the body is %s, want that of the request, %s", quote(a.Body), quote(r.Body))
	}
	return nil
}

// Digest is a Check that wants the SHA-256 of the request's body, in lower-case
// hexadecimal, anywhere in the body of the answer.
func Digest(r Request, a Answer) error {
	sum := sha256.Sum256(r.Body)
	if want := hex.EncodeToString(sum[:]); !bytes.Contains(a.Body, []byte(want)) {
		return fmt.Errorf("the body is %s, want it to hold the request's SHA-256, %s", quote(a.Body), want)
	}
	return nil
}

// ByMethod is a Check that leaves GETs to get and POSTs to post; nil takes any.
func ByMethod(get, post Check) Check {
	return func(r Request, a Answer) error {
		check := get
		if r.Method == "POST" {
			check = post
		}
		if check == nil {
			return nil
		}
		return check(r, a)
	}
}

var _, _ Check = Echo, Digest

// quote shows a body in an error, its beginning if it is long.
func quote(body []byte) string {
	const show = 60
	if len(body) > show {
		return fmt.Sprintf("%q... (%d bytes)", body[:show], len(body))
	}
	return fmt.Sprintf("%q", body)
}
