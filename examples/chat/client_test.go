package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/coder/websocket"
)

// A client is somebody in a room. Its WebSockets are of another make than the
// server's.
type client struct {
	nick string
	conn *websocket.Conn
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// join connects to the chat at address.
func join(ctx context.Context, dial dialer, address, room, nick string) (*client, error) {
	tr := &http.Transport{DialContext: dial}
	defer tr.CloseIdleConnections()
	conn, _, err := websocket.Dial(ctx, "ws://"+address+"/ws?"+url.Values{"room": {room}, "nick": {nick}}.Encode(),
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		return nil, err
	}
	return &client{nick, conn}, nil
}

// mustJoin returns a client that is in its room.
func mustJoin(t testing.TB, ctx context.Context, dial dialer, address, room, nick string) *client {
	t.Helper()
	c, err := join(ctx, dial, address, room, nick)
	if err != nil {
		t.Fatalf("%s joins %s: %v", nick, room, err)
	}
	t.Cleanup(func() { c.conn.CloseNow() })
	c.expect(t, ctx, "* "+nick+" joined")
	return c
}

func (c *client) say(ctx context.Context, line string) error {
	return c.conn.Write(ctx, websocket.MessageText, []byte(line))
}

func (c *client) hear(ctx context.Context) (string, error) {
	_, line, err := c.conn.Read(ctx)
	return string(line), err
}

// expect fails t unless these lines come next.
func (c *client) expect(t testing.TB, ctx context.Context, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got, err := c.hear(ctx); err != nil || got != want {
			t.Fatalf("%s got %.60q and error %v, want %.60q", c.nick, got, err, want)
		}
	}
}

func (c *client) mustSay(t testing.TB, ctx context.Context, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := c.say(ctx, line); err != nil {
			t.Fatalf("%s says %.60q: %v", c.nick, line, err)
		}
	}
}
