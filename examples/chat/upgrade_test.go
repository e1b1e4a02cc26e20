package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
)

// serve serves the chat's HTTP with a hub and a start of the test's own.
func serve(t *testing.T, h *hub, start func(net.Conn, []byte) error) *httptest.Server {
	owned := make(chan struct{})
	close(owned)
	srv := httptest.NewServer((&server{hub: h, owned: owned, start: start}).handler())
	t.Cleanup(srv.Close)
	return srv
}

var handshake = http.Header{
	"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
	"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
}

func TestUpgradeRefuses(t *testing.T) {
	cases := []struct {
		name, query string
		change      http.Header
		status      int
		want        string
	}{
		{name: "no names", status: http.StatusBadRequest, want: `room="" nick=""`},
		{name: "a room with a space", query: "room=a+b&nick=x", status: http.StatusBadRequest, want: `room="a b" nick="x": want 1 to 32 letters`},
		{name: "a long nick", query: "room=a&nick=" + strings.Repeat("x", 33), status: http.StatusBadRequest, want: "want 1 to 32 letters"},
		{name: "a page from elsewhere", query: "room=a&nick=x", change: http.Header{"Origin": {"https://example.org"}}, status: http.StatusForbidden, want: `a page of "https://example.org" may not connect`},
		{name: "plain HTTP", query: "room=a&nick=x", change: http.Header{"Upgrade": nil}, status: http.StatusBadRequest, want: "Upgrade"},
		{name: "another version", query: "room=a&nick=x", change: http.Header{"Sec-Websocket-Version": {"8"}}, status: http.StatusUpgradeRequired, want: ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHub()
			srv := serve(t, h, func(net.Conn, []byte) error {
				t.Error("the connection was upgraded")
				return nil
			})
			r, err := http.NewRequestWithContext(exampletest.Deadline(t), "GET", srv.URL+"/ws?"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = handshake.Clone()
			maps.Copy(r.Header, c.change)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := new(strings.Builder)
			resp.Write(body)
			if resp.StatusCode != c.status || !strings.Contains(body.String(), c.want) {
				t.Errorf("got %s, want status %d and %q:\n%s", resp.Status, c.status, c.want, body)
			}
			if h.last != 0 {
				t.Error("somebody joined")
			}
		})
	}
}

func TestUpgradeFull(t *testing.T) {
	ctx := exampletest.Deadline(t)
	h := newHub()
	for i := range maxMembers {
		mustJoinHub(t, h, fmt.Sprint(i), "x")
	}
	srv := serve(t, h, nil)
	late, err := join(ctx, nil, srv.Listener.Addr().String(), "a", "late")
	if err != nil {
		t.Fatal(err)
	}
	defer late.conn.CloseNow()
	_, err = late.hear(ctx)
	want := websocket.CloseError{Code: websocket.StatusTryAgainLater, Reason: "all 4096 places are taken"}
	if got, ok := errors.AsType[websocket.CloseError](err); !ok || got != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// What a client sends right behind its handshake is not lost in what net/http
// has read ahead.
func TestUpgradeKeepsWhatWasReadAhead(t *testing.T) {
	positions := make(chan position, 1)
	srv := serve(t, newHub(), func(c net.Conn, state []byte) error {
		defer c.Close()
		p, err := parsePosition(state)
		if err != nil {
			t.Error(err)
		}
		// It may have come with the handshake, or be still in the socket.
		rest, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		p.In = append(p.In, rest...)
		positions <- p
		return nil
	})
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var request strings.Builder
	fmt.Fprintf(&request, "GET /ws?room=a&nick=x HTTP/1.1\r\nHost: %s\r\n", c.RemoteAddr())
	handshake.Write(&request)
	request.WriteString("\r\n")
	request.Write(sent(text("early")))
	if _, err := io.WriteString(c, request.String()); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v and error %v, want status 101", resp, err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if p := <-positions; string(p.In) != string(sent(text("early"))) || p.Member != 1 {
		t.Errorf("the connection begins with member %d and %q read, want 1 and %q", p.Member, p.In, sent(text("early")))
	}
}

// When it is too late for a connection its member leaves.
func TestUpgradeTooLate(t *testing.T) {
	h := newHub()
	alice := mustJoinHub(t, h, "a", "alice")
	left := make(chan struct{})
	srv := serve(t, h, func(c net.Conn, _ []byte) error {
		c.Close()
		close(left)
		return errors.New("draining")
	})
	if _, err := join(exampletest.Deadline(t), nil, srv.Listener.Addr().String(), "a", "late"); err != nil {
		t.Logf("join: %v", err) // it may see the answer, or only that it was closed
	}
	<-left
	exampletest.WaitFor(t, exampletest.Deadline(t), "the member to leave", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.members) == 1 && h.members[alice.ID] == alice
	})
}

func TestUpgradeWaitsForTheRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan struct{})
		s := &server{hub: newHub(), owned: make(chan struct{}), draining: draining}
		time.AfterFunc(time.Minute, func() { close(draining) })
		w := httptest.NewRecorder()
		s.upgrade(w, httptest.NewRequest("GET", "/ws?room=a&nick=x", nil))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "have not come") {
			t.Errorf("got status %d and %q, want 503", w.Code, w.Body)
		}
	})
}

func TestPage(t *testing.T) {
	s := &server{}
	for path, want := range map[string]int{"/": http.StatusOK, "/other": http.StatusNotFound} {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || want == http.StatusOK && !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: got status %d and %q, want %d", path, w.Code, w.Header().Get("Content-Type"), want)
		}
	}
}
