package systemdtest_test

import (
	"io"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// The pair answers each connection with a process of its own, which is told the
// peer's address.
const (
	helloSocket = `[Socket]
ListenStream=127.0.0.1:80
Accept=yes
`
	helloService = `[Service]
ExecStart=/bin/sh -c 'echo hello $REMOTE_ADDR'
StandardOutput=socket
`
)

// testHello would be called TestHello in the package that has the units.
func testHello(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("hello.socket", helloSocket)
		m.InstallUnit("hello@.service", helloService)
		m.Systemctl("start", "hello.socket")

		conn, err := m.Dial(t.Context(), "tcp", "127.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer, err := io.ReadAll(conn)
		if err != nil || string(answer) != "hello 127.0.0.1\n" {
			t.Errorf("the service answers %q, %v", answer, err)
		}
		if n := m.Property("hello.socket", "NAccepted"); n != "1" {
			t.Errorf("the socket took %s connections", n)
		}
	})
}

func Example() {
	// A file that ends in _test.go would have this as func TestHello.
	_ = testHello
}
