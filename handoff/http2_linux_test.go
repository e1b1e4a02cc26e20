package handoff

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
)

// TestHTTP2: clients that speak HTTP/2 are told to go away, and lose no request.
func TestHTTP2(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("https", "tcp", "127.0.0.1:0")
		// On a busy machine a client may take longer for the next step of its handshake
		// than a server should wait.
		app := appConfig{HTTPS: inherited, IdleGrace: poll.Patience / 2}
		g := m.start(app)
		load := StartHTTP2Load(t, new(net.Dialer).DialContext, addr, true)
		const replacements = 5
		for range replacements {
			load.Progress(t)
			g = m.replace(g, app)
		}
		load.Progress(t)
		load.Finish(t, replacements)
		g.stop()
	})
}

// An HTTP2Load is four clients that speak HTTP/2, each with four requests at
// once on one connection, half of the clients with bodies.
type HTTP2Load struct {
	clients []*http2Client
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// An http2Client is one of them.
type http2Client struct {
	answered atomic.Int64
	dial     func(ctx context.Context) (net.Conn, error)

	mu    sync.Mutex
	conns []*http2Conn // that it has opened, in this order
}

// StartHTTP2Load starts clients of the server at addr, by TLS or in the clear. The
// requests fail the test where they do not succeed.
func StartHTTP2Load(t *testing.T, dial func(ctx context.Context, network, addr string) (net.Conn, error), addr string, secure bool) *HTTP2Load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &HTTP2Load{cancel: cancel}
	t.Cleanup(l.stop)
	for i := range 4 {
		c := &http2Client{dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := dial(ctx, "tcp", addr)
			if err != nil || !secure {
				return conn, err
			}
			tc := tls.Client(conn, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			return tc, tc.HandshakeContext(ctx)
		}}
		l.clients = append(l.clients, c)
		url, body := "http://localhost/", ""
		if secure {
			url = "https://localhost/"
		}
		if i%2 == 1 {
			body = strings.Repeat("body ", 500)
		}
		// HTTP/2 is spoken as if in the clear also where there is TLS below, since the
		// client's own TLS would hide the frames.
		transport := &http.Transport{
			Protocols:      new(http.Protocols),
			DialContext:    c.connect,
			DialTLSContext: c.connect,
		}
		transport.Protocols.SetUnencryptedHTTP2(true)
		client := &http.Client{Transport: transport, Timeout: poll.Patience}
		var streams sync.WaitGroup
		for range 4 {
			streams.Go(func() {
				for ctx.Err() == nil && c.request(t, client, url, body) {
				}
			})
		}
		l.wg.Go(func() {
			streams.Wait()
			transport.CloseIdleConnections() // not before: it ends what is being opened
		})
	}
	return l
}

// request asks once, and reports whether the answer was as it should be.
func (c *http2Client) request(t *testing.T, client *http.Client, url, body string) bool {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return false
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
		t.Errorf("%s %s %s: %s: %v", method, url, answer.Proto, answer.Status, err)
		return false
	}
	c.answered.Add(1)
	return true
}

// Progress waits until every client has had some answers more.
func (l *HTTP2Load) Progress(t *testing.T) {
	t.Helper()
	for _, c := range l.clients {
		enough := c.answered.Load() + 50
		poll.Until(t, "enough answers", func() bool { return c.answered.Load() >= enough || t.Failed() })
	}
}

// stop ends the clients, each after an answer.
func (l *HTTP2Load) stop() {
	l.cancel()
	l.wg.Wait()
}

// Finish ends the clients. It fails the test unless each of them has connected
// anew for each replacement, told so by GOAWAY.
func (l *HTTP2Load) Finish(t *testing.T, replacements int) {
	t.Helper()
	l.stop()
	var answered, told int
	for i, c := range l.clients {
		answered += int(c.answered.Load())
		untold := 0
		for _, conn := range c.conns {
			switch {
			case conn.goaway.Load():
				told++
			case conn.answered.Load(): // the client drops what it opened in vain
				untold++
			}
		}
		if untold != 1 {
			t.Errorf("client %d: %d connections ended without GOAWAY, want the last", i, untold)
		}
	}
	if told < replacements*len(l.clients) {
		t.Errorf("%d connections were told GOAWAY in %d replacements", told, replacements)
	}
	t.Logf("%d replacements: %d requests of %d clients, %d times GOAWAY", replacements, answered, len(l.clients), told)
}

func (c *http2Client) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	w := &http2Conn{Conn: conn}
	c.mu.Lock()
	c.conns = append(c.conns, w)
	c.mu.Unlock()
	return w, nil
}

// An http2Conn follows the frames that its client reads (RFC 9113, section 4.1).
type http2Conn struct {
	net.Conn
	answered, goaway atomic.Bool // HEADERS and GOAWAY were among them

	skip int    // bytes of the frame under way that are still to come
	head []byte // of the next one
}

func (c *http2Conn) Read(p []byte) (int, error) {
	const headSize, headers, goaway = 9, 1, 7
	n, err := c.Conn.Read(p)
	for r := bytes.NewBuffer(p[:n]); r.Len() > 0; {
		if c.skip > 0 {
			c.skip -= len(r.Next(c.skip))
			continue
		}
		c.head = append(c.head, r.Next(headSize-len(c.head))...)
		if len(c.head) < headSize {
			break
		}
		switch c.head[3] {
		case headers:
			c.answered.Store(true)
		case goaway:
			c.goaway.Store(true)
		}
		c.skip = int(binary.BigEndian.Uint32(c.head) >> 8)
		c.head = c.head[:0]
	}
	return n, err
}
