package systemdtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// consoleLimit bounds what is kept of a console: its end, in bytes.
const consoleLimit = 64 << 10

// console is a pseudo-terminal that keeps what is written to it. systemd writes
// to a terminal or to nothing.
type console struct {
	master   *os.File
	terminal *os.File // open until rest: else reads of the master fail when nobody in the machine has it open
	done     chan struct{}

	mu   sync.Mutex
	kept []byte
}

// openConsole makes a console and returns it with its terminal.
func openConsole() (*console, *os.File, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, cannot("no pseudo-terminal: open /dev/ptmx: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("unlock a pseudo-terminal: %w", err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, nil, cannot("no pseudo-terminal: %w", err)
	}
	c := &console{master: master, terminal: terminal, done: make(chan struct{})}
	go c.follow()
	return c, terminal, nil
}

func (c *console) follow() {
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
}

// text is the end of what was written, in lines.
func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(string(c.kept), "\r\n", "\n")
}

// rest is the text once the machine has ended. What its processes wrote last may
// still be on its way through the terminal: the master reads it, and then fails,
// since nobody has the terminal open any more.
func (c *console) rest() string {
	c.terminal.Close()
	<-c.done
	return c.text()
}

func (c *console) close() {
	c.master.Close()
	<-c.done
	c.terminal.Close() // again, after rest
}
