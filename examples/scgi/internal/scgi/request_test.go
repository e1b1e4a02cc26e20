package scgi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// netstring is a header as it is sent.
func netstring(header string) string { return fmt.Sprintf("%d:%s,", len(header), header) }

// encode is a request as it is sent. The header is names and values in turn.
func encode(body string, header ...string) string {
	header = append([]string{"CONTENT_LENGTH", fmt.Sprint(len(body)), "SCGI", "1"}, header...)
	return netstring(strings.Join(header, "\x00")+"\x00") + body
}

const plain = "REQUEST_METHOD\x00GET\x00REQUEST_URI\x00/\x00SERVER_PROTOCOL\x00HTTP/1.1\x00"

func TestReadRequest(t *testing.T) {
	text := encode("What is the answer to life?",
		"REQUEST_METHOD", "POST", "REQUEST_URI", "/deepthought?a=b", "SERVER_PROTOCOL", "HTTP/1.1", "CONTENT_TYPE", "text/plain",
		"HTTP_HOST", "example.org", "HTTP_ACCEPT_LANGUAGE", "en", "HTTP_X_TWICE", "1", "HTTP_X_TWICE", "2",
		"HTTP_COOKIE", "a=1", "HTTP_COOKIE", "b=2", "REMOTE_ADDR", "192.0.2.1", "REMOTE_PORT", "4711")
	r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(text + "more")))
	req, err := ReadRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"method", req.Method, "POST"},
		{"URL", req.URL.String(), "http://example.org/deepthought?a=b"},
		{"remote address", req.RemoteAddr, "192.0.2.1:4711"},
		{"type", req.Header.Get("Content-Type"), "text/plain"},
		{"language", req.Header.Get("Accept-Language"), "en"},
		{"field that was there twice", req.Header.Get("X-Twice"), "1, 2"},
		{"cookie", req.Header.Get("Cookie"), "a=1; b=2"},
		{"body", string(body), "What is the answer to life?"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestMalformed(t *testing.T) {
	head := "CONTENT_LENGTH\x000\x00SCGI\x001\x00"
	for _, c := range []struct{ text, want string }{
		{"GET / HTTP/1.1\r\n", `'G' in the length`},
		{":,", `':' in the length`},
		{"01:x,", `'1' in the length`},
		{"-1:x,", `'-' in the length`},
		{"65537:", "more than 65536 bytes"},
		{"99999999999999999999999:", "more than 65536 bytes"},
		{"0:,", `CONTENT_LENGTH is ""`},
		{"3:abc;", `';' behind the netstring`},
		{netstring("SCGI\x001\x00CONTENT_LENGTH\x000\x00"), `the first header is "SCGI"`},
		{netstring("CONTENT_LENGTH\x000\x00"), `SCGI is ""`},
		{netstring("CONTENT_LENGTH\x00-1\x00SCGI\x001\x00"), `CONTENT_LENGTH is "-1"`},
		{netstring("CONTENT_LENGTH\x00\x00SCGI\x001\x00"), `CONTENT_LENGTH is ""`},
		{netstring("CONTENT_LENGTH\x009223372036854775808\x00SCGI\x001\x00"), `CONTENT_LENGTH is "9223372036854775808"`},
		{netstring("CONTENT_LENGTH\x000\x00SCGI\x002\x00"), `SCGI is "2"`},
		{netstring(head + "\x00x\x00"), "no name"},
		{netstring(head + "X"), `"X" has no name or no end`},
		{netstring(head + "X\x00unended"), `"X" has no name or no end`},
		{netstring(head + "CONTENT_LENGTH\x000\x00"), "CONTENT_LENGTH is there twice"},
		{netstring(head + plain + "HTTP_HOST\x00a\x00HTTP_HOST\x00b\x00"), "HTTP_HOST is there twice"},
		{netstring(head), "no REQUEST_METHOD"},
		{netstring(head + "REQUEST_METHOD\x00GET\x00"), "invalid SERVER_PROTOCOL"},
	} {
		_, err := ReadRequest(bufio.NewReader(strings.NewReader(c.text)))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %v, want ErrMalformed that says %q", c.text, err, c.want)
		}
	}
}

// Wherever a request is cut, that is what the error says: it is neither malformed
// nor whole.
func TestCutShort(t *testing.T) {
	text := encode("body", "REQUEST_METHOD", "POST", "REQUEST_URI", "/", "SERVER_PROTOCOL", "HTTP/1.1")
	for i := range len(text) {
		req, err := ReadRequest(bufio.NewReader(strings.NewReader(text[:i])))
		if err == nil {
			_, err = io.ReadAll(req.Body)
		}
		want := io.ErrUnexpectedEOF
		if i == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) || errors.Is(err, ErrMalformed) {
			t.Errorf("after %d bytes: got %v, want %v", i, err, want)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(encode("body", "REQUEST_METHOD", "POST", "REQUEST_URI", "/", "SERVER_PROTOCOL", "HTTP/1.1"))
	f.Add(encode("", "REQUEST_METHOD", "GET", "REQUEST_URI", "/?q", "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "a", "HTTPS", "on"))
	f.Add(netstring("CONTENT_LENGTH\x0010\x00SCGI\x001\x00"+plain) + "short")
	f.Add("3:abc,")
	f.Fuzz(func(t *testing.T, text string) {
		r := strings.NewReader(text)
		req, err := ReadRequest(bufio.NewReader(r))
		if err != nil {
			if req != nil {
				t.Fatal("a request and an error")
			}
			return
		}
		// The body is what follows the netstring, and not a byte before or behind.
		var length int
		if _, err := fmt.Sscanf(text, "%d:", &length); err != nil || req.Method == "" || req.URL == nil {
			t.Fatalf("%q gives %+v (%v)", text, req, err)
		}
		want := text[strings.Index(text, ":")+1+length+1:]
		body, err := io.ReadAll(req.Body)
		if int64(len(want)) >= req.ContentLength {
			if err != nil || string(body) != want[:req.ContentLength] {
				t.Fatalf("the body is %q, %v, want %q", body, err, want[:req.ContentLength])
			}
		} else if !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != want {
			t.Fatalf("the body is %q, %v, want %q cut short", body, err, want)
		}
	})
}
