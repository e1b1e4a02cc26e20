package systemdtest

import (
	"context"
	"io"
	"testing"
)

func TestFirst(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		t.Log(m.Version())
		m.InstallUnit("echo.socket", "[Socket]\nListenStream=127.0.0.1:7\nListenStream=/run/echo.sock\nListenStream=@echo\nAccept=yes\n")
		m.InstallUnit("echo@.service", "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n")
		m.Systemctl("start", "echo.socket")
		for _, a := range [][2]string{{"tcp", "127.0.0.1:7"}, {"unix", "/var/run/echo.sock"}, {"unix", "@echo"}} {
			c, err := m.Dial(context.Background(), a[0], a[1])
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("hello\n"))
			buf := make([]byte, 6)
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		t.Log(m.Journal())
		t.Log(m.Output("env"))
		t.Log(m.Output("systemctl", "--failed"))
		t.Log(m.Output("systemctl"))
	})
}
