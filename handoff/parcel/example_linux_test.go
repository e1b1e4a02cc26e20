package parcel_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A generation that goes leaves a connection behind, and the next one goes on
// with it. The client notices nothing.
func Example() {
	ctx := context.Background()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	served, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}

	w, readEnd, err := parcel.New(parcel.WriterOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer readEnd.Close() // a service stores it first, FDSTORE=1
	err = w.Put(ctx, parcel.Entry{
		Kind: "conn", Name: "greeter", Payload: []byte("Ada"),
		Descriptors: []syscall.Conn{served.(syscall.Conn)},
		Done:        func(error) { served.Close() },
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Close(ctx); err != nil {
		log.Fatal(err)
	}

	r, err := parcel.NewReader(readEnd, parcel.ReaderOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for {
		items, err := r.Receive(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		for _, it := range items {
			c, err := it.Conn(0)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Fprintf(c, "still here, %s", it.Payload)
			c.Close()
		}
	}
	said, err := io.ReadAll(client)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(said))
	// Output: still here, Ada
}

// A successor finds out whether it can read what it was given before it says
// that it is ready, and takes nothing yet.
func ExampleReader_Peek() {
	ctx := context.Background()
	w, readEnd, err := parcel.New(parcel.WriterOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer readEnd.Close()
	if err := w.Put(ctx, parcel.Entry{Kind: "state", Name: "counters", Payload: []byte("v2 17")}); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(ctx); err != nil {
		log.Fatal(err)
	}

	r, err := parcel.NewReader(readEnd, parcel.ReaderOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	_, err = r.Peek(func(kind, name string, payload []byte) error {
		if kind == "state" && payload[1] != '1' {
			return fmt.Errorf("version %s is not known", payload[:2])
		}
		return nil
	})
	fmt.Println(err)
	// Output: parcel: peek: state "counters": version v2 is not known
}
