package activation_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"

	"github.com/holdfast-go/holdfast/activation"
)

// A web server that a socket unit starts, and that also runs from a shell.
func Example() {
	set, err := activation.Inherit()
	if err != nil {
		log.Fatal(err)
	}
	l, err := set.Listen(context.Background(), "http", "tcp", "localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := set.Close(); err != nil {
		log.Print(err) // a name in the unit file that this program does not know
	}
	log.Fatal(http.Serve(l, nil))
}

// A name server takes the stream and the datagram socket of one unit, which have
// one name.
func ExampleSet_PacketConn() {
	set, err := activation.Inherit()
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	stream, err := set.Listener("dns")
	if err != nil {
		log.Fatal(err)
	}
	datagram, err := set.PacketConn("dns")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serving on", stream.Addr(), "and", datagram.LocalAddr())
}

// A service of a unit with Accept=yes serves one connection.
func ExampleSet_Conn() {
	set, err := activation.Inherit()
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	c, err := set.Conn("connection")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "hello %v\n", c.RemoteAddr())
}

// A listener that a predecessor shut down before it ended, to leave the rotation,
// is taken back.
func ExampleSet_Relisten() {
	set, err := activation.Inherit()
	if err != nil {
		log.Fatal(err)
	}
	l, err := set.Listener("http")
	if errors.Is(err, activation.ErrNotListening) {
		if err = set.Relisten("http"); err == nil {
			l, err = set.Listener("http")
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(l, nil))
}

// A test hands sockets to the code under test as a manager would. Here there are
// none, so Listen opens a fresh listener.
func ExampleOptions() {
	set, err := activation.Options{Env: map[string]string{}}.Inherit()
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	l, err := set.Listen(context.Background(), "http", "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(set.Activated(), l.Addr().Network())
	// Output: false tcp
}

// A program passes its listener on to a child, which may be written in any
// language. Its main calls ExecStep first.
func ExampleStart() {
	if err := activation.ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: 8080})
	if err != nil {
		log.Fatal(err)
	}
	socket, err := l.File()
	if err != nil {
		log.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/worker")
	if err := activation.Start(context.Background(), cmd, activation.NamedFile{Name: "http", File: socket}); err != nil {
		log.Fatal(err)
	}
	socket.Close()
	if err := cmd.Wait(); err != nil {
		log.Fatal(err)
	}
}
