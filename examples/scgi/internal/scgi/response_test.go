package scgi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
)

// exchange has h answer a request, and returns the answer's header and body.
func exchange(t *testing.T, request string, h http.HandlerFunc) (textproto.MIMEHeader, string, error) {
	t.Helper()
	var out bytes.Buffer
	conn := struct {
		io.Reader
		io.Writer
	}{strings.NewReader(request), &out}
	err := Serve(conn, h)
	r := bufio.NewReader(&out)
	header, e := textproto.NewReader(r).ReadMIMEHeader()
	if e != nil {
		t.Fatalf("the answer's header: %v (%v)", e, err)
	}
	body, e := io.ReadAll(r)
	if e != nil {
		t.Fatal(e)
	}
	return header, string(body), err
}

func TestServe(t *testing.T) {
	get := encode("", "REQUEST_METHOD", "GET", "REQUEST_URI", "/", "SERVER_PROTOCOL", "HTTP/1.1")
	head := encode("", "REQUEST_METHOD", "HEAD", "REQUEST_URI", "/", "SERVER_PROTOCOL", "HTTP/1.1")
	long := strings.Repeat("x", holdBack)
	for _, c := range []struct {
		name, request              string
		handler                    http.HandlerFunc
		status, length, kind, body string
	}{
		{"nothing", get, func(http.ResponseWriter, *http.Request) {}, "200 OK", "0", "", ""},
		{"short", get, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
			"200 OK", "5", "text/plain; charset=utf-8", "hello"},
		{"as much as is held back", get, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, long) },
			"200 OK", "4096", "text/plain; charset=utf-8", long},
		{"long", get, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, long+"y"); io.WriteString(w, "z") },
			"200 OK", "", "text/plain; charset=utf-8", long + "yz"},
		{"length of its own", get, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "a/b")
			w.(http.Flusher).Flush()
			io.WriteString(w, "hello")
		}, "200 OK", "5", "a/b", "hello"},
		{"status", get, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
			w.WriteHeader(http.StatusOK)
		}, "404 Not Found", "0", "", ""},
		{"no content", get, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			"204 No Content", "", "", ""},
		{"head", head, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
			"200 OK", "5", "text/plain; charset=utf-8", ""},
		{"head of a long one", head, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, long+"y"); io.WriteString(w, "z") },
			"200 OK", "", "text/plain; charset=utf-8", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			header, body, err := exchange(t, c.request, c.handler)
			if err != nil {
				t.Fatal(err)
			}
			if header.Get("Status") != c.status || header.Get("Content-Length") != c.length || header.Get("Content-Type") != c.kind {
				t.Errorf("got %v, want status %q, length %q, type %q", header, c.status, c.length, c.kind)
			}
			if body != c.body {
				t.Errorf("the body has %d bytes, %.20q, want %d, %.20q", len(body), body, len(c.body), c.body)
			}
		})
	}
}

func TestServeMalformed(t *testing.T) {
	header, body, err := exchange(t, "GET / HTTP/1.1\r\n\r\n", func(http.ResponseWriter, *http.Request) { t.Error("the handler is called") })
	if header.Get("Status") != "400 Bad Request" || !strings.Contains(body, "malformed") || !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, %q, %v", header, body, err)
	}
}

// A body that no handler wants is read all the same.
func TestServeReadsAll(t *testing.T) {
	request := strings.NewReader(encode(strings.Repeat("b", 100_000), "REQUEST_METHOD", "POST", "REQUEST_URI", "/", "SERVER_PROTOCOL", "HTTP/1.1"))
	conn := struct {
		io.Reader
		io.Writer
	}{request, io.Discard}
	if err := Serve(conn, http.NotFoundHandler()); err != nil || request.Len() != 0 {
		t.Errorf("%v, and %d bytes are left", err, request.Len())
	}
}
