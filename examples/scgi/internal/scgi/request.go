package scgi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"strconv"
	"strings"
)

// ErrMalformed is what errors.Is finds in the error of a request that is not SCGI.
var ErrMalformed = errors.New("malformed SCGI request")

// maxHeader bounds the header of a request, in bytes. nginx and Apache take far less
// from a client.
const maxHeader = 64 << 10

// ReadRequest reads the header of a request. The body of what it returns reads the
// rest of the request from r, and fails with io.ErrUnexpectedEOF where that is cut
// short.
//
// A connection that ends before its first byte is io.EOF. In the error of one that
// ends or fails later, errors.Is finds io.ErrUnexpectedEOF or what r returned, and
// in that of any other request that cannot be read, ErrMalformed.
func ReadRequest(r *bufio.Reader) (*http.Request, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	header, err := readNetstring(r)
	if err != nil {
		return nil, fmt.Errorf("scgi: read request: %w", err)
	}
	params, err := parseHeader(string(header))
	if err != nil {
		return nil, fmt.Errorf("scgi: %w: %w", ErrMalformed, err)
	}
	req, err := cgi.RequestFromMap(params)
	if err != nil {
		return nil, fmt.Errorf("scgi: %w: %w", ErrMalformed, err)
	}
	req.Body = http.NoBody
	if req.ContentLength > 0 {
		req.Body = &body{r: r, left: req.ContentLength}
	}
	return req, nil
}

// readNetstring reads a netstring, https://cr.yp.to/proto/netstrings.txt.
func readNetstring(r *bufio.Reader) ([]byte, error) {
	length := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		if err != nil {
			return nil, cut(err)
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || c > '9' || digits > 0 && length == 0 {
			return nil, fmt.Errorf("%w: %q in the length of the netstring", ErrMalformed, c)
		}
		if length = length*10 + int(c-'0'); length > maxHeader {
			return nil, fmt.Errorf("%w: a header of more than %d bytes", ErrMalformed, maxHeader)
		}
	}
	text := make([]byte, length+1)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, cut(err)
	}
	if text[length] != ',' {
		return nil, fmt.Errorf("%w: %q behind the netstring, want a comma", ErrMalformed, text[length])
	}
	return text[:length], nil
}

// cut is err, of a request that has begun.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseHeader splits a header into its names and values.
func parseHeader(text string) (map[string]string, error) {
	params := make(map[string]string)
	for first := true; text != ""; first = false {
		name, rest, _ := strings.Cut(text, "\x00")
		value, rest, ended := strings.Cut(rest, "\x00")
		text = rest
		if name == "" || !ended {
			return nil, fmt.Errorf("the header %q has no name or no end", name)
		}
		if first && name != "CONTENT_LENGTH" {
			return nil, fmt.Errorf("the first header is %q, want CONTENT_LENGTH", name)
		}
		known, twice := params[name]
		switch {
		case !twice:
			params[name] = value
		case name == "HTTP_COOKIE":
			params[name] = known + "; " + value
		case strings.HasPrefix(name, "HTTP_") && name != "HTTP_HOST":
			// The protocol has each name once, but nginx before 1.23 passes on what
			// the client has sent twice. It is one field, RFC 9110, section 5.3.
			params[name] = known + ", " + value
		default:
			return nil, fmt.Errorf("the header %s is there twice", name)
		}
	}
	if length := params["CONTENT_LENGTH"]; !isNumber(length) {
		return nil, fmt.Errorf("CONTENT_LENGTH is %q, want a number", length)
	}
	if version := params["SCGI"]; version != "1" {
		return nil, fmt.Errorf("SCGI is %q, want 1", version)
	}
	return params, nil
}

// isNumber reports whether s is a number from 0 on, in decimal digits alone.
func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil && s[0] != '-' && s[0] != '+'
}

// A body is that of a request.
type body struct {
	r    io.Reader
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); b.left > 0 {
		err = cut(err)
	}
	return n, err
}

func (b *body) Close() error { return nil }
