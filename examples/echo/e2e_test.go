package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	name    = "holdfast-echo"
	service = name + ".service"
	address = "127.0.0.1:7007"
)

// dial connects a client to the service in m.
func dial(t *testing.T, m *systemdtest.Machine, number int) *client {
	t.Helper()
	ctx := exampletest.Deadline(t)
	conn, err := m.Dial(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	return newClient(conn, number)
}

func TestStreamsGoOn(t *testing.T) {
	const (
		clients  = 4
		restarts = 10
		lines    = 500 // of each client, between two restarts
	)
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.Systemctl("start", name+".socket")
		ctx := exampletest.Deadline(t)
		stop := make(chan struct{})
		results := make(chan error, clients)
		var all []*client
		for i := range clients {
			c := dial(t, m, i)
			all = append(all, c)
			sending := c.stream(stop)
			go func() { results <- c.finish(sending) }()
		}
		// Every client goes on after every restart.
		progress := func(when string) {
			t.Helper()
			for _, c := range all {
				goal := c.answered.Load() + lines
				exampletest.WaitFor(t, ctx, fmt.Sprintf("client %d %s", c.name, when), func() bool {
					select {
					case err := <-results:
						t.Fatalf("%s a client ended: %v", when, err)
					default:
					}
					return c.answered.Load() >= goal
				})
			}
		}
		progress("before the first restart")
		for i := range restarts {
			exampletest.Restart(t, m, service)
			progress(fmt.Sprintf("after restart %d", i+1))
		}
		close(stop)
		for range clients {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		var total, bytes int64
		for _, c := range all {
			total += c.answered.Load()
			bytes += c.bytes.Load()
		}
		t.Logf("%d clients sent %d lines, %d MB, across %d restarts", clients, total, bytes>>20, restarts)
	})
}

// A client that does not read has the server wait in Write when it is to drain.
func TestSlowReader(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.Systemctl("start", name+".socket")
		ctx := exampletest.Deadline(t)
		c := dial(t, m, 0)
		if err := c.conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		sending := c.stream(stop)
		sent, since := int64(0), time.Now()
		exampletest.WaitFor(t, ctx, "the client to fill all buffers", func() bool {
			// Should this be early, for the machine is busy, then the rest is easier.
			if n := c.sent.Load(); n != sent {
				sent, since = n, time.Now()
			}
			return sent > 0 && time.Since(since) > time.Second
		})
		for range 3 {
			exampletest.Restart(t, m, service)
		}
		close(stop)
		if err := c.finish(sending); err != nil {
			t.Error(err)
		}
		if n := c.bytes.Load(); n < 100_000 {
			t.Errorf("only %d bytes were sent", n)
		}
	})
}

func TestIdleConnectionsGoOn(t *testing.T) {
	const (
		connections = 16_000
		fewest      = 1_000 // that are worth the test
		restarts    = 3
		entries     = 8 // of the fd store, at most
		stored      = "/run/stored"
	)
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.InstallFile("/usr/local/bin/holder", systemdtest.BuildTest(t), 0o755)
		// What the store has when one process is gone, and the next is not there yet.
		m.InstallUnit(service+".d/test.conf", "[Service]\nExecStartPre=+/bin/sh -c 'systemctl show --value -p NFileDescriptorStore "+service+" >"+stored+"'\n")
		m.Systemctl("start", name+".socket")

		h := holder{t: t, cmd: m.Command(exampletest.Deadline(t), "/usr/local/bin/holder", fmt.Sprint(connections))}
		h.cmd.Env = append(h.cmd.Env, helperVariable+"=hold")
		h.start()
		n := h.answered()
		if n < connections {
			t.Logf("the limit of open files allows %d connections of %d", n, connections)
		}
		if n < fewest {
			t.Fatalf("%d connections are too few, want %d", n, fewest)
		}
		for i := range restarts {
			began := time.Now()
			exampletest.Restart(t, m, service)
			took := time.Since(began)
			if got := h.ask(); got != n {
				t.Fatalf("after restart %d: %d connections answered, want %d", i+1, got, n)
			}
			used, err := strconv.Atoi(strings.TrimSpace(string(m.ReadFile(stored))))
			if err != nil || used < 1 || used > entries {
				t.Errorf("restart %d: the fd store had %d entries (error %v), want 1 to %d", i+1, used, err, entries)
			}
			t.Logf("restart %d: %d connections in %d entries, %v", i+1, n, used, took)
		}
		h.end()
		pid := m.Property(service, "MainPID")
		exampletest.WaitFor(t, exampletest.Deadline(t), "the service to close its connections", func() bool {
			return len(strings.Fields(m.Output("ls", "/proc/"+pid+"/fd"))) < 50
		})
	})
}

// A holder is the helper hold at work.
type holder struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
}

func (h *holder) start() {
	h.t.Helper()
	out, err := h.cmd.StdoutPipe()
	if err == nil {
		h.in, err = h.cmd.StdinPipe()
	}
	h.cmd.Stderr = &h.stderr
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.out = bufio.NewScanner(out)
	h.t.Cleanup(func() { h.in.Close() })
}

// ask has every connection asked, and returns how many answered.
func (h *holder) ask() int {
	h.t.Helper()
	if _, err := io.WriteString(h.in, "\n"); err != nil {
		h.t.Fatalf("%v: %s", err, h.stderr.String())
	}
	return h.answered()
}

func (h *holder) answered() int {
	h.t.Helper()
	if !h.out.Scan() {
		err := h.cmd.Wait()
		h.t.Fatalf("the clients ended: %v: %s", err, h.stderr.String())
	}
	n, err := strconv.Atoi(h.out.Text())
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// end closes all connections.
func (h *holder) end() {
	h.t.Helper()
	h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		h.t.Errorf("the clients ended: %v: %s", err, h.stderr.String())
	}
}

func TestWithoutSystemd(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		p := exampletest.Start(t, m, "/usr/local/bin/"+name)
		ctx := exampletest.Deadline(t)
		exampletest.WaitFor(t, ctx, "the program to listen", func() bool {
			conn, err := m.Dial(ctx, "tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		c := dial(t, m, 0)
		for range 10 {
			if err := c.ask(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Terminate(); err != nil {
			t.Error(err)
		}
		if _, err := c.answer.ReadByte(); err != io.EOF {
			t.Errorf("after the end of the program the client reads %v, want EOF", err)
		}
	})
}
