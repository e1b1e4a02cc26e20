package probe

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

func TestMain(m *testing.M) {
	helpertest.Main(m, map[string]func(args []string) error{
		"serve": serve,
		"hold":  hold,
		"early": early,
	})
}

// given is the descriptor of the socket that a helper gets.
const given = 3

// file keeps given open.
var file *os.File

func listener() (net.Listener, error) {
	file = os.NewFile(given, "given")
	return net.FileListener(file)
}

// serve answers each request with the status and the text of its arguments, and says
// so. A third argument is how long it waits before it accepts, each time.
func serve(args []string) error {
	ln, err := listener()
	if err != nil {
		return err
	}
	status, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if len(args) > 2 {
		pause, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		ln = slow{ln, pause}
	}
	fmt.Println("in place")
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintln(w, args[1])
		fmt.Println("asked for", r.Host+r.URL.String())
	}))
}

// A slow listener leaves all clients to another process, if there is one.
type slow struct {
	net.Listener
	pause time.Duration
}

func (s slow) Accept() (net.Conn, error) {
	if _, err := unix.Poll([]unix.PollFd{{Fd: given, Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
		return nil, err
	}
	time.Sleep(s.pause)
	return s.Listener.Accept()
}

// hold has the socket and leaves it alone.
func hold([]string) error {
	fmt.Println("in place")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// early answers as soon as somebody connects, and closes.
func early(args []string) error {
	ln, err := listener()
	if err != nil {
		return err
	}
	fmt.Println("in place")
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(args[0]), args[0])
		c.Close()
	}
}
