package keepalive_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/holdfast-go/holdfast/handoff/keepalive"
)

// A client keeps its connection while the server is replaced.
func Example() {
	server := func(name string) *keepalive.Tracker {
		return keepalive.New(&http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(w, "answered by the", name, "server")
			}),
		}, keepalive.Options{})
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	first, second := server("first"), server("second")
	go first.Serve(ln)

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	ask := func() {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			log.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		fmt.Print(string(b))
	}

	ask()
	err = first.Drain(context.Background(), func(c keepalive.Carried) error {
		return second.Adopt(c.Listener, c.Conn, c.ReadAhead)
	})
	if err != nil {
		log.Fatal(err)
	}
	ask()
	fmt.Println(first.Counts().Idle, "connection carried")
	if err := second.Drain(context.Background(), nil); err != nil {
		log.Fatal(err)
	}
	// Output:
	// answered by the first server
	// answered by the second server
	// 1 connection carried
}
