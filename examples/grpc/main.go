// Command grpc is a gRPC server whose clients see no failed call when it is
// restarted. Belongs to units/holdfast-grpc.socket.
//
// An HTTP/2 connection cannot go on in another process, so each is told to go
// away (GOAWAY). What that means for clients:
//
//   - A call that has reached the server is answered by it, within the drain
//     timeout. What takes longer is cut (UNAVAILABLE).
//   - A call that is made meanwhile goes to the next generation: the client opens
//     a new connection, which waits in the socket that systemd holds. One that had
//     been sent after all, and which the server has not begun, grpc-go sends again
//     by itself, once, without a retry policy.
//   - A call without an end (Ticks) would take longer than any drain timeout. The
//     server ends it with OK, and the client calls again and says how far it is.
//
// The first two take nothing of the client: no retry policy, and no
// grpc.WaitForReady. It has to wait for as long as the restart takes, of course,
// and grpc-go gives up an attempt to connect after 20 s.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-go/holdfast/handoff"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8082", "address to bind when systemd passed no socket")
	drainTimeout := flag.Duration("drain-timeout", 20*time.Second, "how long calls under way may take after SIGTERM")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), *listen, *drainTimeout); err != nil {
		slog.Error("holdfast-grpc failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, drainTimeout time.Duration) error {
	svc, err := handoff.Open(ctx, handoff.Options{
		DrainTimeout: drainTimeout,
		Report:       func(err error) { slog.Warn("holdfast-grpc", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("grpc", "tcp", listen)
	if err != nil {
		return err
	}

	e := &echo{draining: make(chan struct{})}
	err = svc.Go(func(ctx context.Context) error {
		<-ctx.Done()
		close(e.draining) // ends what would not end by itself
		return nil
	})
	if err != nil {
		return err
	}
	srv := grpc.NewServer(
		// GracefulStop first waits for connections that have not said anything
		// yet, for as long as this.
		grpc.ConnectionTimeout(5*time.Second),
		grpc.MaxConcurrentStreams(1000),
	)
	srv.RegisterService(&service, e)
	if err := svc.Serve(ln, newGraceful(srv, ln)); err != nil {
		return err
	}
	return svc.Run(ctx)
}
