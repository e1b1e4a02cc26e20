// Command chat is a WebSocket chat server whose clients stay connected when it
// is restarted: who is in which room, every connection with what is half read
// and half written, and the lines that a slow client has not read yet go on in
// the next generation of the program. Belongs to units/holdfast-chat.socket.
//
// Open / in a browser to try it, restart the service and go on talking. For
// other clients: GET /ws?room=ROOM&nick=NAME is a WebSocket, each text message
// is a line, and the line "/who" asks who is in the room.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "address to bind when systemd passed no socket")
	drainTimeout := flag.Duration("drain-timeout", 20*time.Second, "how long the hand-over may take after SIGTERM")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), *listen, *drainTimeout); err != nil {
		slog.Error("holdfast-chat failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, drainTimeout time.Duration) error {
	svc, err := handoff.Open(ctx, handoff.Options{
		DrainTimeout: drainTimeout,
		Report:       func(err error) { slog.Warn("holdfast-chat", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("chat", "tcp", listen)
	if err != nil {
		return err
	}

	s := &server{hub: newHub(), owned: svc.Owned(), draining: svc.Draining()}
	// The rooms are the state of the program, and one generation's at a time.
	err = svc.State("rooms", handoff.State{Version: stateVersion, Save: s.hub.save, Load: s.hub.load})
	if err != nil {
		return err
	}
	// The connections are carried: serve goes on where it was.
	carrier, err := svc.Carry("chat", s.serve)
	if err != nil {
		return err
	}
	s.start = carrier.Go
	if err := svc.Go(s.sweep); err != nil {
		return err
	}

	srv := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	if err := svc.Serve(ln, srv); err != nil {
		return err
	}
	return svc.Run(ctx)
}
