package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/handoff"
)

// A web server whose clients do not notice that it is replaced.
func Example() {
	ctx := context.Background()
	svc, err := handoff.Open(ctx, handoff.Options{
		Report: func(err error) { slog.Warn("handoff", "error", err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := svc.Listen("http", "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /ready", svc.ReadyHandler())
	if err := svc.Serve(ln, &http.Server{Handler: mux}); err != nil {
		log.Fatal(err)
	}

	svc.Stop() // a real one waits for SIGTERM
	fmt.Println(svc.Run(ctx))
	// Output: <nil>
}

// Connections that greet their peers by number: the next generation goes on with
// the number.
func ExampleService_Carry() {
	var serve handoff.ConnFunc = func(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
		n, _ := strconv.Atoi(string(state)) // 0 for a fresh connection
		for {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
					return strconv.AppendInt(nil, int64(n), 10), handoff.ErrCarry
				}
				return nil, err
			}
			n++
			if _, err := fmt.Fprintln(c, "hello", n); err != nil {
				return nil, err
			}
		}
	}

	// In a service: k, err := svc.Carry("greet", serve), and then k.Serve(ln). In a
	// test a pipe is enough.
	client, server := net.Pipe()
	go serve(context.Background(), server, []byte("41"))
	client.Write([]byte("x"))
	b := make([]byte, 64)
	n, _ := client.Read(b)
	client.Close()
	fmt.Printf("%s", b[:n])
	// Output: hello 42
}

// A counter that goes on from generation to generation.
func ExampleService_State() {
	ctx := context.Background()
	svc, err := handoff.Open(ctx, handoff.Options{})
	if err != nil {
		log.Fatal(err)
	}
	var count atomic.Int64
	err = svc.State("count", handoff.State{
		Version: 1,
		Save: func(context.Context) ([]byte, error) {
			return strconv.AppendInt(nil, count.Load(), 10), nil
		},
		Load: func(_ context.Context, version uint32, b []byte) error {
			n, err := strconv.ParseInt(string(b), 10, 64)
			if err != nil {
				return err
			}
			count.Add(n)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	svc.Stop()
	fmt.Println(svc.Run(ctx))
	// Output: <nil>
}

// Datagrams are read by one generation at a time.
func ExampleService_ListenPacket() {
	ctx := context.Background()
	svc, err := handoff.Open(ctx, handoff.Options{})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := svc.ListenPacket("log", "udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	err = svc.Go(func(context.Context) error {
		buf := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, handoff.ErrDraining) {
				return nil
			}
			if err != nil {
				return err
			}
			io.Discard.Write(buf[:n])
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	svc.Stop()
	fmt.Println(svc.Run(ctx))
	// Output: <nil>
}
