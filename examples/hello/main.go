// Command hello is the smallest server that keeps its socket while it is replaced.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/notify"
)

func main() {
	manager, err := notify.Open() // nil where no manager listens, and a nil Notifier does nothing
	if err != nil {
		log.Fatal(err)
	}
	inherited, err := activation.Inherit()
	if err != nil {
		log.Fatal(err)
	}
	ln, err := inherited.Listen(context.Background(), "http", "tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := manager.Ready(context.Background()); err != nil { // clients wait in the socket's queue
		log.Fatal(err)
	}
	log.Fatal(http.Serve(ln, http.HandlerFunc(hello)))
}

func hello(w http.ResponseWriter, r *http.Request) {
	if _, err := w.Write([]byte("hello\n")); err != nil {
		log.Print(err) // the client has gone
	}
}
