package loadtest

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
)

// canned is a connection whose peer sends these bytes and closes.
type canned struct {
	net.Conn
	*bytes.Reader
}

func (c canned) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// read reads one answer from b, and returns how many bytes of b it took, and
// whether its end is that of the connection.
func read(b []byte) (class Class, used int, untilEOF bool) {
	in := bytes.NewReader(b)
	var r reader
	r.br = bufio.NewReader(nil)
	r.reset(canned{nil, in})
	r.begin()
	response, err := r.answer("GET")
	if err != nil {
		return classify(err), 0, false
	}
	untilEOF = response.ContentLength < 0 && len(response.TransferEncoding) == 0
	return OK, len(b) - in.Len() - r.br.Buffered(), untilEOF
}

// FuzzAnswer reads arbitrary answers. What is left of a whole one when its end
// is cut off must never pass for whole.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(whole), uint(3))
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+whole+whole), uint(50))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"), uint(90))
	f.Add([]byte("HTTP/1.0 200 OK\r\n\r\nhello"), uint(20))
	f.Add([]byte("HTTP/1.1 204 No Content\r\n\r\n"), uint(26))
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n\x00\x01"), uint(1))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), uint(1))
	f.Add([]byte("SSH-2.0-x\r\n"), uint(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint) {
		class, used, untilEOF := read(b)
		switch {
		case class != OK && class != Cut && class != Wrong:
			t.Fatalf("%q: %s, want ok, cut or wrong", b, class)
		case class != OK || untilEOF:
			return
		case used <= 0 || used > len(b):
			t.Fatalf("%q: took %d bytes", b, used)
		}
		if class, _, untilEOF := read(b[:at%uint(used)]); class != Cut && !untilEOF {
			t.Errorf("%q is a whole answer; its first %d bytes are %s, want cut", b[:used], at%uint(used), class)
		}
	})
}

func TestAnswerSizes(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer string
		want   Class
	}{
		{"header at its limit", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHeaderSize-8<<10) + "\r\nContent-Length: 0\r\n\r\n", OK},
		{"header beyond it", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHeaderSize+8<<10) + "\r\nContent-Length: 0\r\n\r\n", Wrong},
		{"body at its limit", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", MaxAnswerSize), OK},
		{"body beyond it", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", MaxAnswerSize+1), Wrong},
	} {
		if class, _, _ := read([]byte(test.answer)); class != test.want {
			t.Errorf("%s: %s, want %s", test.name, class, test.want)
		}
	}
}
