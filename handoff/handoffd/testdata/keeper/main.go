// Command keeper is a program for the tests of handoffd that has something of
// everything: HTTP on ":8080", whose answers are what was sent; streams on ":7007",
// which answer each number of 8 bytes with the sum of all so far; and datagrams on
// ":7008", which it counts. GET /count is the count.
//
// /etc/keeper says what it does once its predecessor hands over.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

func main() {
	mode, err := os.ReadFile("/etc/keeper")
	if err != nil {
		log.Fatal(err)
	}
	run := serve
	if strings.TrimSpace(string(mode)) == "dies" {
		run = die
	}
	if err := run(context.Background(), strings.TrimSpace(string(mode))); err != nil {
		log.Fatal(err)
	}
}

// die becomes ready, and exits when the first thing is delivered to it.
func die(ctx context.Context, _ string) error {
	n, err := notify.Open()
	if err != nil {
		return err
	}
	intake, err := parcel.OpenIntake()
	if err != nil {
		return err
	}
	if err := n.Send(ctx, notify.Ready(), notify.Field{Key: parcel.Resumable, Value: "1"}); err != nil {
		return err
	}
	if _, err := intake.Next(ctx); err != nil {
		return err
	}
	return errors.New("died with nothing taken")
}

func serve(ctx context.Context, mode string) error {
	svc, err := handoff.Open(ctx, handoff.Options{Report: func(err error) { log.Print(err) }})
	if err != nil {
		return err
	}
	defer svc.Close()
	var count atomic.Int64
	if err := errors.Join(web(svc, &count), streams(svc), datagrams(svc, &count)); err != nil {
		return err
	}
	err = svc.State("count", handoff.State{
		Version: 1,
		Save:    func(context.Context) ([]byte, error) { return strconv.AppendInt(nil, count.Load(), 10), nil },
		Load: func(_ context.Context, _ uint32, b []byte) error {
			switch mode {
			case "refuses":
				return fmt.Errorf("the count %q makes no sense", b)
			case "crashes":
				log.Fatal("crashed in Load")
			case "hangs":
				select {}
			}
			n, err := strconv.ParseInt(string(b), 10, 64)
			count.Add(n)
			return err
		},
	})
	if err != nil {
		return err
	}
	return svc.Run(ctx)
}

func web(svc *handoff.Service, count *atomic.Int64) error {
	ln, err := svc.Listen("http", "tcp", ":8080")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // all of it before the answer begins
		w.Write(b)
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-svc.Owned():
			fmt.Fprint(w, count.Load())
		case <-r.Context().Done():
		}
	})
	return svc.Serve(ln, &http.Server{Handler: mux})
}

func streams(svc *handoff.Service) error {
	ln, err := svc.Listen("streams", "tcp", ":7007")
	if err != nil {
		return err
	}
	k, err := svc.Carry("sum", sum)
	if err != nil {
		return err
	}
	return k.Serve(ln)
}

// sum's state is the sum, and what it has read of the next number.
func sum(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
	state = append(state, make([]byte, max(0, 8-len(state)))...)
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		state = append(state, buf[:n]...)
		for len(state) >= 16 {
			total := binary.BigEndian.Uint64(state) + binary.BigEndian.Uint64(state[8:])
			state = append(binary.BigEndian.AppendUint64(nil, total), state[16:]...)
			if _, err := c.Write(state[:8]); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			return state, handoff.ErrCarry
		}
		if err != nil {
			return nil, err
		}
	}
}

func datagrams(svc *handoff.Service, count *atomic.Int64) error {
	conn, err := svc.ListenPacket("datagrams", "udp", ":7008")
	if err != nil {
		return err
	}
	return svc.Go(func(context.Context) error {
		for b := make([]byte, 64); ; count.Add(1) {
			_, _, err := conn.ReadFrom(b)
			if errors.Is(err, handoff.ErrDraining) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}
