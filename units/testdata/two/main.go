// Command two is the program of holdfast-two: it answers on two sockets that it
// knows by name, and echoes what is posted.
package main

import (
	"context"
	"io"
	"log"
	"net/http"

	"github.com/holdfast-go/holdfast/handoff"
)

func main() {
	ctx := context.Background()
	svc, err := handoff.Open(ctx, handoff.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"http", "admin"} {
		ln, err := svc.Listen(name, "tcp", "")
		if err != nil {
			log.Fatal(err)
		}
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body) // whole, before the answer begins
			if err != nil {
				return
			}
			if r.Method == http.MethodGet {
				body = []byte(name)
			}
			w.Write(body)
		})
		if err := svc.Serve(ln, &http.Server{Handler: handler}); err != nil {
			log.Fatal(err)
		}
	}
	if err := svc.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
