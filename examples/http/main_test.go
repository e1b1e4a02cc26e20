package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func TestHandler(t *testing.T) {
	h := handler(http.NotFoundHandler())
	cases := []struct {
		method, body string
		status       int
		want         string
	}{
		{"GET", "", http.StatusOK, "version 1 pid "},
		{"POST", "some bytes", http.StatusOK, "some bytes"},
		{"POST", strings.Repeat("x", maxBody), http.StatusOK, strings.Repeat("x", maxBody)},
		{"POST", strings.Repeat("x", maxBody+1), http.StatusRequestEntityTooLarge, "the body is larger than 1048576 bytes"},
		{"DELETE", "", http.StatusMethodNotAllowed, "Method Not Allowed"},
	}
	for _, c := range cases {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, "/", strings.NewReader(c.body)))
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("%s with %d bytes: status %d and %.60q, want %d and %.60q", c.method, len(c.body), w.Code, w.Body, c.status, c.want)
		}
	}
}

// systemd-socket-activate(1) is what people try a socket-activated program with.
func TestSystemdSocketActivate(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		ctx, cancel := context.WithCancel(deadline(t))
		defer cancel()
		cmd := m.Command(ctx, "systemd-socket-activate", "--listen=127.0.0.1:9090", "--fdname=http", "/usr/local/bin/holdfast-http")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		poll.Until(t, "systemd-socket-activate listens", func() bool {
			conn, err := m.Dial(ctx, "tcp", "127.0.0.1:9090")
			if err == nil {
				conn.Close() // it starts the program, as a client does that thinks better of it
			}
			return err == nil
		})
		result, err := loadtest.Run(ctx, loadtest.Options{URL: "http://127.0.0.1:9090/", Dial: m.Dial, Requests: 10})
		if err != nil {
			t.Fatal(err)
		}
		if err := result.Err(); err != nil {
			t.Error(err)
		}
		cancel()
		cmd.Wait() // killed by the end of ctx
	})
}
