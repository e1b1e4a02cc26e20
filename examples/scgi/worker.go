package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/examples/scgi/internal/scgi"
)

// requestTimeout bounds the time that a connection has, from its beginning to the
// last byte of its answer.
const requestTimeout = time.Minute

// work is a worker process, once it is warm: it answers one request at a time. It
// returns when the dispatcher has told it to finish, or has ended.
func work(h http.Handler, log *slog.Logger) error {
	set, err := activation.Inherit()
	if err != nil {
		return err
	}
	conn, err := set.Conn(nameChannel)
	if err != nil {
		return err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("the descriptor %q is %T, want a Unix socket", nameChannel, conn)
	}
	ch := channel{unix}
	defer ch.Close()
	ln, err := set.Listener(nameListener)
	if err != nil && !errors.Is(err, activation.ErrNoName) {
		return err
	}
	if err := set.Close(); err != nil {
		return err
	}

	// Those of the terminal are for the dispatcher, which tells its workers.
	signal.Ignore(os.Interrupt, syscall.SIGHUP)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		ch.CloseRead() // as if the dispatcher had ended
	}()
	if ln != nil {
		return acceptConnections(ch, ln, h, log)
	}
	return receiveConnections(ch, h, log)
}

// receiveConnections answers what the dispatcher passes, until it has ended or told
// this worker to.
func receiveConnections(ch channel, h http.Handler, log *slog.Logger) error {
	gone := ch.say(msgIdle)
	for gone == nil {
		conn, err := ch.receive()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive a connection: %w", err)
		}
		// Before a byte is read: from here on the connection ends with this process.
		ch.say(msgTaken)
		answer(conn, h, log)
		// Before the client sees the end, so that its next request comes here again.
		gone = ch.say(msgIdle)
		conn.Close()
	}
	return nil
}

// acceptConnections answers what it accepts on a listener that it shares.
func acceptConnections(ch channel, ln net.Listener, h http.Handler, log *slog.Logger) error {
	go func() {
		ch.hear()  // there is nothing to hear but the end
		ln.Close() // this copy; the others go on
	}()
	if err := ch.say(msgIdle); err != nil {
		return nil
	}
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			answer(conn, h, log)
			conn.Close()
		case errors.Is(err, net.ErrClosed):
			return nil
		case isShortage(err):
			time.Sleep(retryAfter)
		default:
			return err
		}
	}
}

// answer answers a connection's request. The caller closes the connection.
func answer(conn interface {
	io.ReadWriter
	SetDeadline(time.Time) error
}, h http.Handler, log *slog.Logger) {
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		log.Warn("connection without a deadline", "error", err)
	}
	if err := scgi.Serve(conn, h); err != nil && err != io.EOF {
		log.Warn("request failed", "error", err)
	}
}
