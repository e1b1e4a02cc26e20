package main

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/gobwas/ws"
)

// A server makes WebSockets of HTTP connections, and serves them.
type server struct {
	hub      *hub
	owned    <-chan struct{}                         // closed once the rooms are this generation's
	draining <-chan struct{}                         // closed when it drains: they will not be any more
	start    func(c net.Conn, position []byte) error // has serve called for c
}

const (
	// adoptTimeout is how long a member waits for its connection once the rooms
	// have come.
	adoptTimeout = 30 * time.Second

	handshakeTimeout = 5 * time.Second
)

// name is what rooms and members are called.
var name = regexp.MustCompile(`^[\p{L}\p{N}_-]{1,32}$`)

//go:embed page.html
var page []byte

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", s.upgrade)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	return mux
}

// upgrade answers GET /ws: the client joins a room, and its connection becomes a
// WebSocket.
func (s *server) upgrade(w http.ResponseWriter, r *http.Request) {
	room, nick := r.FormValue("room"), r.FormValue("nick")
	if !name.MatchString(room) || !name.MatchString(nick) {
		http.Error(w, fmt.Sprintf("room=%.99q nick=%.99q: want 1 to 32 letters, digits, - or _ for each", room, nick), http.StatusBadRequest)
		return
	}
	// A browser sends the cookies of this site along with a WebSocket of any
	// page. Here there are none, but what is copied should be right.
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			http.Error(w, fmt.Sprintf("a page of %.99q may not connect to %.99q", origin, r.Host), http.StatusForbidden)
			return
		}
	}
	select {
	case <-s.owned:
	case <-r.Context().Done():
		return
	case <-s.draining:
		select {
		case <-s.owned: // both
		default:
			http.Error(w, "the rooms have not come", http.StatusServiceUnavailable)
			return
		}
	}
	c, rw, _, err := ws.HTTPUpgrader{Timeout: handshakeTimeout}.Upgrade(r, w)
	if err != nil {
		if c != nil {
			c.Close() // the client has been told
		}
		return
	}
	m, err := s.hub.join(room, nick)
	if err != nil {
		c.SetWriteDeadline(time.Now().Add(handshakeTimeout))
		c.Write(closeFrame(tryAgainLater, err.Error()))
		c.Close()
		return
	}
	// net/http may have read ahead of the handshake.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	if err := s.start(c, position{Member: m.ID, input: input{In: early}}.marshal()); err != nil {
		slog.Warn("a client came too late", "error", err)
		s.hub.leave(m)
	}
}

// Status codes of the registry that RFC 6455 begins.
const (
	serviceRestart ws.StatusCode = 1012
	tryAgainLater  ws.StatusCode = 1013
)

// sweep dismisses the members whose connections have not come with them: those
// whose client went away in between.
func (s *server) sweep(ctx context.Context) error {
	select {
	case <-s.owned:
	case <-ctx.Done():
		return nil
	}
	select {
	case <-time.After(adoptTimeout):
		s.hub.sweep()
	case <-ctx.Done():
	}
	return nil
}
