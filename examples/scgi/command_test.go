package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	usual := options{listen: "127.0.0.1:4000", workers: poolOptions{limit: 8, spare: 1, idleTimeout: time.Minute, drain: 20 * time.Second}}
	shared := usual
	shared.share, shared.workers.limit, shared.workers.spare = true, 3, 3
	for _, c := range []struct {
		args   string
		want   options
		worker bool
		err    string
	}{
		{args: "", want: usual},
		{args: "worker", want: usual, worker: true},
		{args: "-share -workers 3", want: shared},
		{args: "worker -share -workers 3", want: shared, worker: true},
		{args: "more", err: `unexpected argument "more"`},
		{args: "-workers 0", err: "-workers 0 -spare 1: want at least one"},
		{args: "-spare 0", err: "-workers 8 -spare 0: want at least one"},
		{args: "-workers 2 -spare 3", err: "no more spare ones than workers"},
		{args: "-drain-timeout -1s", err: "-drain-timeout -1s"},
		{args: "-nonsense", err: "-nonsense"},
	} {
		o, worker, err := parse(strings.Fields(c.args))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.args, err, c.err)
			}
			continue
		}
		if err != nil || o != c.want || worker != c.worker {
			t.Errorf("%q: %+v, worker %t, %v, want %+v, worker %t", c.args, o, worker, err, c.want, c.worker)
		}
	}
}

func TestHandler(t *testing.T) {
	h := handler(time.Millisecond)
	for _, c := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"GET", "", http.StatusOK, "build 0000 worker "},
		{"POST", "some bytes", http.StatusOK, "some bytes"},
		{"POST", strings.Repeat("x", maxBody), http.StatusOK, strings.Repeat("x", maxBody)},
		{"POST", strings.Repeat("x", maxBody+1), http.StatusRequestEntityTooLarge, "the body is larger than 1048576 bytes"},
		{"DELETE", "", http.StatusMethodNotAllowed, "Method Not Allowed"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, "/", strings.NewReader(c.body)))
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("%s with %d bytes: status %d and %.60q, want %d and %.60q", c.method, len(c.body), w.Code, w.Body, c.status, c.want)
		}
	}
}
