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
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clientTimeout bounds each exchange. It is long: the machine may be busy.
const clientTimeout = 60 * time.Second

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
	addr    string
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
	c.conn.SetDeadline(time.Now().Add(clientTimeout))
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

// tally is what clients of one kind counted.
type tally struct {
	kind                                 string
	requests, failed, reconnects, closed atomic.Int64
	first                                atomic.Pointer[error]
}

// fail counts n failed requests.
func (ta *tally) fail(n int, err error) {
	ta.failed.Add(int64(n))
	ta.first.CompareAndSwap(nil, &err)
}

// run sends rounds until stop is closed.
func (c *client) run(k kind, ta *tally, stop <-chan struct{}) {
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if c.conn == nil {
			conn, err := net.DialTimeout("tcp", c.addr, clientTimeout)
			if err != nil {
				ta.fail(1, fmt.Errorf("dial: %w", err))
				return
			}
			c.conn, c.r = conn, bufio.NewReader(conn)
			if c.dials++; c.dials > 1 && !k.once {
				ta.reconnects.Add(1)
			}
		}
		before := c.serial
		err := k.round(c)
		asked, left := c.serial-before, len(c.expects)
		ta.requests.Add(int64(asked - left))
		c.expects = nil
		switch {
		case errors.Is(err, errClosing):
			ta.closed.Add(1) // what was sent behind it may be sent again
		case err != nil:
			ta.fail(left, err)
		case !k.once:
			continue
		}
		c.conn.Close()
		c.conn = nil
	}
}

// load is a number of clients of every kind under way.
type load struct {
	tallies []*tally
	stop    func() // and wait
}

// startLoad starts each clients of every kind.
func startLoad(t *testing.T, addr string, each int) *load {
	t.Helper()
	l := &load{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, k := range kinds {
		ta := &tally{kind: k.name}
		l.tallies = append(l.tallies, ta)
		for i := range each {
			c := &client{addr: addr, id: i, rand: rand.New(rand.NewPCG(uint64(i), 1))}
			wg.Go(func() { c.run(k, ta, stop) })
		}
	}
	l.stop = sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// progress waits until every kind has had at least n more requests answered.
func (l *load) progress(t *testing.T, n int64) {
	t.Helper()
	deadline := time.Now().Add(clientTimeout)
	for _, ta := range l.tallies {
		for want := ta.requests.Load() + n; ta.requests.Load() < want; {
			if ta.failed.Load() > 0 {
				return // reported in the end
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d requests answered after %v, want %d", ta.kind, ta.requests.Load(), clientTimeout, want)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// check fails t if any client lost a request, and unless closing is allowed also
// if any connection ended.
func (l *load) check(t *testing.T, closing bool) {
	t.Helper()
	l.stop()
	for _, ta := range l.tallies {
		t.Logf("%-16s %6d requests, %d failed, %d reconnects, %d told to close", ta.kind,
			ta.requests.Load(), ta.failed.Load(), ta.reconnects.Load(), ta.closed.Load())
		if ta.requests.Load() == 0 {
			t.Errorf("%s: no request was answered", ta.kind)
		}
		if ta.failed.Load() > 0 {
			t.Errorf("%s: %d requests failed, the first with: %v", ta.kind, ta.failed.Load(), *ta.first.Load())
		}
		if n := ta.reconnects.Load(); n > 0 && !closing {
			t.Errorf("%s: %d clients had to connect again", ta.kind, n)
		}
		if n := ta.closed.Load(); n > 0 && !closing {
			t.Errorf("%s: %d answers ended the connection", ta.kind, n)
		}
	}
}

func TestMain(m *testing.M) {
	if h := helpers[os.Getenv(helperEnv)]; h != nil {
		h()
		return
	}
	os.Exit(m.Run())
}

// helpers are what this binary does when it is started again by a test.
var helpers = map[string]func(){}

const helperEnv = "HOLDFAST_KEEPALIVE_HELPER"
