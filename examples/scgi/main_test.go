package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/units/helpertest"
)

func TestMain(m *testing.M) {
	if err := activation.ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	helpertest.Main(m, map[string]func(args []string) error{"dispatcher": testDispatcher, "worker": testWorker})
}

// testWorker is a worker whose requests say what it is to do. It answers with its PID.
func testWorker([]string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/sleep/{time}", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.PathValue("time"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		time.Sleep(d)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	return work(mux, slog.Default())
}

// The ways in which the workers of a testDispatcher come by their connections.
const (
	dispatch  = "dispatch"
	share     = "share"
	reuseport = "reuseport" // each binds a listener of its own: to compare with
)

// testDispatcher is a dispatcher with as many workers as args[1] says, which get
// their connections as args[0] says. It prints its address, and a line for each one
// that it reads, once it has replaced its workers. When its input ends it stops.
func testDispatcher(args []string) error {
	workers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	lc := net.ListenConfig{}
	if args[0] == reuseport {
		lc.Control = setReuseport
	}
	ctx := context.Background()
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	os.Setenv(helpertest.Variable, "worker")
	l := launcher{program: "/proc/self/exe", args: []string{"worker"}}
	o := poolOptions{limit: workers, spare: 1, idleTimeout: time.Minute, drain: time.Minute}
	launch := l.launch
	if args[0] != dispatch {
		o.spare = workers
	}
	switch args[0] {
	case share:
		if l.listener, err = fileOf(ln); err != nil {
			return err
		}
		launch = l.launch
	case reuseport:
		address := ln.Addr().String()
		launch = func() (process, error) {
			own, err := lc.Listen(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			defer own.Close() // the worker's copy lives on
			l := l
			if l.listener, err = fileOf(own); err != nil {
				return nil, err
			}
			defer l.listener.Close()
			return l.launch()
		}
	}
	p := newPool(o, launch, slog.New(slog.DiscardHandler))
	if err := p.start(ctx); err != nil {
		return err
	}
	shared := l.listener
	if args[0] == reuseport {
		ln.Close() // it would get a part of the connections
		if shared, err = os.Open(os.DevNull); err != nil {
			return err // something to stand for a listener that is not the dispatcher's
		}
	}
	d := newDispatcher(ln, shared, p, slog.Default())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ln) }()
	fmt.Println(ln.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := p.replace(ctx); err != nil {
			return err
		}
		fmt.Println("replaced")
	}
	if err := d.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

func setReuseport(_, _ string, c syscall.RawConn) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, inner)
}
