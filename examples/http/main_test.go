package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func TestHandler(t *testing.T) {
	h := handler()
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
		for _, c := range []struct {
			name   string
			fdname []string
			want   string // what the program says when it refuses; "": it serves
		}{
			{"by name", []string{"--fdname=http"}, ""},
			{"other name", []string{"--fdname=web"}, `no descriptor of that name was inherited: there are [\"web\"]`},
		} {
			t.Run(c.name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(deadline(t))
				defer cancel()
				args := append([]string{"--listen=127.0.0.1:9090"}, c.fdname...)
				cmd := m.Command(ctx, "systemd-socket-activate", append(args, "/usr/local/bin/holdfast-http")...)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, ctx, "systemd-socket-activate to listen", func() bool {
					conn, err := m.Dial(ctx, "tcp", "127.0.0.1:9090")
					if err == nil {
						conn.Close() // it starts the program, as a client does that thinks better of it
					}
					return err == nil
				})
				if c.want != "" {
					if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), c.want) {
						t.Errorf("the program ended with %v, want an error that names %s:\n%s", err, c.want, stderr.String())
					}
					return
				}
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
	})
}
