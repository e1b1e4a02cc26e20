package keepalive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// oddRequests are what a server must not stumble over, and what it must refuse.
var oddRequests = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	"GET / HTTP/1.1\r\nHost: a\n\r\nGET /2 HTTP/1.1\nHost: a\r\n\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n00\r\nSum: 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0 ;e\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nSum: 1\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("b", 5000) + "\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 3\r\n\r\nabc",
	"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n" + strings.Repeat("x", 300) + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
	"GET / HTTP/0.9\r\n\r\n",
	"GET /\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 4060) + "\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 9000) + "\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"",
}

// pieces cuts data up: each byte of chop is the length of a piece.
func pieces(data, chop []byte) [][]byte {
	var all [][]byte
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(chop) > 0 {
			n = min(n, 1+int(chop[i%len(chop)]))
		}
		all = append(all, data[:n])
		data = data[n:]
	}
	return all
}

// A message is where net/http sees one request end.
type message struct {
	r         *http.Request
	head, end int
}

// messages reads data as a server would, up to what it refuses.
func messages(data []byte) []message {
	var all []message
	src := bytes.NewReader(data)
	br := bufio.NewReader(src)
	at := func() int { return len(data) - src.Len() - br.Buffered() }
	post := false
	for {
		if post {
			peek, _ := br.Peek(4)
			br.Discard(len(peek) - len(bytes.TrimLeft(peek, "\r\n")))
		}
		r, err := http.ReadRequest(br)
		if err != nil {
			return all
		}
		m := message{r: r, head: at()}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return all
		}
		m.end = at()
		all = append(all, m)
		post = r.Method == http.MethodPost
	}
}

// checkFrames compares where the framer sees messages end with where net/http
// does, for a connection that delivers data in the pieces that chop says.
func checkFrames(data, chop []byte) (n int, err error) {
	want := messages(data)
	var f framer
	at := 0 // what net/http was given
	var held []byte
	for _, p := range pieces(data, chop) {
		held = append(held, p...)
		for len(held) > 0 && n < len(want) {
			m := want[n]
			ask := held[:min(len(held), f.want(4096))]
			limit := m.head
			if f.phase == phaseBody || f.phase == phaseChunks {
				limit = m.end
			}
			given := f.advance(ask)
			at += given
			held = held[given:]
			switch {
			case m.r.ProtoMajor != 1:
				return n, nil // is left alone
			case at > limit:
				return n, errors.New("a Read crossed the end of the message")
			case given < len(ask) && at != limit:
				return n, errors.New("a Read ended early")
			}
			if f.phase == phaseFraming {
				if at != m.head {
					return n, errors.New("the header's end was seen elsewhere")
				}
				f.begin(m.r)
			}
			if f.phase == phaseDone {
				if at != m.end {
					return n, errors.New("the body's end was seen elsewhere")
				}
				f.idle()
				n++
			}
			if f.phase == phaseOpaque {
				return n, errors.New("framing was lost")
			}
		}
	}
	if n < len(want) {
		return n, errors.New("the end of a message was missed")
	}
	return n, nil
}

func FuzzFrames(f *testing.F) {
	for _, s := range oddRequests {
		f.Add([]byte(s), []byte{})
		f.Add([]byte(s), []byte{0})
		f.Add([]byte(s), []byte{2, 40, 7})
	}
	f.Fuzz(func(t *testing.T, data, chop []byte) {
		if n, err := checkFrames(data, chop); err != nil {
			t.Errorf("request %d: %v\n%q", n, err, data)
		}
	})
}

// pipeline draws requests of all shapes, one behind the other, and returns how
// many there are.
func pipeline(t *rapid.T) (data []byte, n int) {
	n = rapid.IntRange(1, 6).Draw(t, "requests")
	c := &client{rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}
	for range n {
		data = append(data, c.any()...)
	}
	return data, n
}

func chops(t *rapid.T) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "chop")
}

func TestFramesOfPipelines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, want := pipeline(t)
		n, err := checkFrames(data, chops(t))
		if err != nil || n != want {
			t.Fatalf("%d of %d requests: %v\n%q", n, want, err, data)
		}
	})
}
