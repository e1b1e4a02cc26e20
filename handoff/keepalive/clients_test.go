package keepalive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
)

// echo answers with what it understood of the request.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Path == "/slow" {
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprint(w, answer(r.Method, r.URL.RequestURI(), body, r.Trailer.Get("Sum")))
}

// answer is what echo says to such a request.
func answer(method, uri string, body []byte, trailer string) string {
	return fmt.Sprintf("%s %s %d %08x %s", method, uri, len(body), crc32.ChecksumIEEE(body), trailer)
}

// A client is one of several that send requests without a pause.
type client struct {
	dial    func() (net.Conn, error)
	id      int
	rand    *rand.Rand
	conn    net.Conn
	r       *bufio.Reader
	serial  int
	dials   int
	expects []string // answers that are due
}

// A kind of client differs from others in how it sends one round of requests.
type kind struct {
	name  string
	once  bool // one connection for each round, by its nature
	round func(c *client) error
}

var kinds = []kind{
	{name: "post", round: (*client).post},
	{name: "pipelined", round: (*client).pipelined},
	{name: "byte by byte", round: (*client).byteByByte},
	{name: "expect continue", round: (*client).expectContinue},
	{name: "chunked", round: (*client).chunked},
	{name: "half close", once: true, round: (*client).halfClose},
	{name: "http/1.0", round: (*client).http10},
	{name: "chopped", round: (*client).chopped},
	{name: "new connections", once: true, round: (*client).post},
	{name: "slow handler", round: (*client).slow},
}

// uri names the next request.
func (c *client) uri(path string) string {
	c.serial++
	return fmt.Sprintf("%s?c=%d&n=%d", path, c.id, c.serial)
}

func (c *client) body(most int) []byte {
	b := make([]byte, c.rand.IntN(most))
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz\r\n"[c.rand.IntN(28)]
	}
	return b
}

// request returns a request with a body of known length, and notes its answer.
func (c *client) request(method, uri, headers string, body []byte) []byte {
	c.expects = append(c.expects, answer(method, uri, body, ""))
	if body != nil {
		headers += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return append([]byte(method+" "+uri+" HTTP/1.1\r\nHost: test\r\n"+headers+"\r\n"), body...)
}

// chunkedRequest returns one in chunks with extensions, and trailers.
func (c *client) chunkedRequest() []byte {
	uri := c.uri("/chunked")
	var b bytes.Buffer
	fmt.Fprintf(&b, "PUT %s HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n", uri)
	var whole []byte
	for range c.rand.IntN(5) {
		part := append(c.body(3000), 'x')
		whole = append(whole, part...)
		fmt.Fprintf(&b, "%x;name=%q\r\n%s\r\n", len(part), "a value", part)
	}
	sum := fmt.Sprint(c.serial)
	fmt.Fprintf(&b, "0;last\r\nSum: %s\r\n\r\n", sum)
	c.expects = append(c.expects, answer("PUT", uri, whole, sum))
	return b.Bytes()
}

func (c *client) any() []byte {
	switch c.rand.IntN(3) {
	case 0:
		return c.request("GET", c.uri("/"), "", nil)
	case 1:
		return c.request("POST", c.uri("/"), "", c.body(6000))
	default:
		return c.chunkedRequest()
	}
}

func (c *client) post() error {
	return c.exchange(c.request("POST", c.uri("/"), "", c.body(10000)))
}

func (c *client) slow() error {
	return c.exchange(c.request("GET", c.uri("/slow"), "", nil))
}

func (c *client) pipelined() error {
	var b []byte
	for range 2 + c.rand.IntN(6) {
		b = append(b, c.any()...)
	}
	return c.sendAndReceive(func() error { return c.send(b) })
}

func (c *client) byteByByte() error {
	for _, b := range c.request("POST", c.uri("/"), "", c.body(20)) {
		if err := c.send([]byte{b}); err != nil {
			return err
		}
	}
	return c.receive()
}

func (c *client) chunked() error { return c.exchange(c.chunkedRequest()) }

func (c *client) chopped() error {
	var b []byte
	for range 1 + c.rand.IntN(4) {
		b = append(b, c.any()...)
	}
	return c.sendAndReceive(func() error {
		for len(b) > 0 {
			n := 1 + c.rand.IntN(min(len(b), 300))
			if err := c.send(b[:n]); err != nil {
				return err
			}
			b = b[n:]
			if c.rand.IntN(4) == 0 {
				time.Sleep(time.Duration(c.rand.IntN(2000)) * time.Microsecond)
			}
		}
		return nil
	})
}

// sendAndReceive takes answers while it sends, as who pipelines must: what comes
// behind an answer that ends the connection is not answered.
func (c *client) sendAndReceive(send func() error) error {
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	err := c.receive()
	if err != nil {
		c.conn.Close()
		<-sent
		return err
	}
	return <-sent
}

func (c *client) http10() error {
	uri := c.uri("/")
	c.expects = append(c.expects, answer("GET", uri, nil, ""))
	return c.exchange([]byte("GET " + uri + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
}

func (c *client) expectContinue() error {
	body := append(c.body(2000), 'x')
	req := c.request("POST", c.uri("/"), "Expect: 100-continue\r\n", body)
	head, body := req[:len(req)-len(body)], req[len(req)-len(body):]
	if err := c.send(head); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	if err == nil {
		_, err = c.r.ReadString('\n')
	}
	if err != nil {
		return fmt.Errorf("wait for 100 Continue: %w", err)
	}
	if !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		return fmt.Errorf("wait for 100 Continue: got %q", line)
	}
	return c.exchange(body)
}

func (c *client) halfClose() error {
	if err := c.send(c.request("POST", c.uri("/"), "", c.body(3000))); err != nil {
		return err
	}
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	return c.receive()
}

func (c *client) exchange(b []byte) error {
	if err := c.send(b); err != nil {
		return err
	}
	return c.receive()
}

func (c *client) send(b []byte) error {
	c.conn.SetDeadline(time.Now().Add(poll.Patience))
	_, err := c.conn.Write(b)
	return err
}

// errClosing says that the server ended the connection with its answer.
var errClosing = errors.New("connection: close")

// receive takes every answer that is due.
func (c *client) receive() error {
	for len(c.expects) > 0 {
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("read the answer's body: %w", err)
		}
		if want := c.expects[0]; resp.StatusCode != http.StatusOK || string(body) != want {
			return fmt.Errorf("got %s %q, want %q", resp.Status, body, want)
		}
		c.expects = c.expects[1:]
		if resp.Close {
			return errClosing
		}
	}
	return nil
}
