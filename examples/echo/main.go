// Command echo sends back what it is sent, and after each line the checksum of
// all that it was sent on the connection:
//
//	$ nc localhost 7007
//	hello
//	hello
//	363a3020
//
// Do `systemctl restart holdfast-echo` and type on: the connection stays, and so
// does its checksum. What a connection needs to go on in the next process is what
// serve returns when the process drains (see session.go). A crash or `systemctl
// stop` ends all connections.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"github.com/holdfast-go/holdfast/handoff"
)

func main() {
	address := flag.String("listen", "127.0.0.1:7007", "address to bind when systemd passed no socket")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), *address); err != nil {
		slog.Error("holdfast-echo failed", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or SIGTERM comes, and leaves the connections to the
// next process.
func run(ctx context.Context, address string) error {
	svc, err := handoff.Open(ctx, handoff.Options{
		Report: func(err error) { slog.Warn("handover", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("echo", "tcp", address)
	if err != nil {
		return err
	}
	conns, err := svc.Carry("echo", serve)
	if err != nil {
		return err
	}
	if err := conns.Serve(ln); err != nil {
		return err
	}
	return svc.Run(ctx)
}
