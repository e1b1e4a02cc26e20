package systemdtest

import (
	"os"
	"strings"
	"sync"
)

// consoleLimit bounds what is kept of a console, in bytes, at its end.
const consoleLimit = 64 << 10

// console keeps what a machine writes to /dev/console.
type console struct {
	master, terminal *os.File
	done             chan struct{}

	mu   sync.Mutex
	kept []byte
}

func (c *console) follow() {
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		buf := make([]byte, 4096)
		for {
			n, err := c.master.Read(buf)
			c.mu.Lock()
			c.kept = append(c.kept, buf[:n]...)
			if over := len(c.kept) - consoleLimit; over > 0 {
				c.kept = append(c.kept[:0], c.kept[over:]...)
			}
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(string(c.kept), "\r", "")
}

func (c *console) close() {
	c.master.Close()
	if c.done != nil {
		<-c.done
	}
	c.terminal.Close()
}
