package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// version is what GET answers: a new build shows that it is the new one.
var version = "build 0000"

// maxBody bounds a POST; a larger one is answered with status 413.
const maxBody = 1 << 20

// handler is the application: put your own here. It answers GET with its version,
// and POST with the body it was sent; each takes the time that work says.
func handler(work time.Duration) http.Handler {
	var served atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(work)
		fmt.Fprintf(w, "%s worker %d request %d\n", version, os.Getpid(), served.Add(1))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			http.Error(w, fmt.Sprintf("the body is larger than %d bytes", maxBody), http.StatusRequestEntityTooLarge)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away, nobody is left to answer
		}
		time.Sleep(work)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(body)
	})
	return mux
}
