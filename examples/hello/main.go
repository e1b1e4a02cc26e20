// Command hello is the server of the README.
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
	go http.Serve(ln, http.HandlerFunc(hello))
	manager.Ready(context.Background())
	select {}
}

func hello(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello\n")) }
