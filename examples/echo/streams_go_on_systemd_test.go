package main

import (
	"fmt"
	"io"
	"net"
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
	return newClient(exampletest.Dial(t, m, address), number)
}

// replacements is how often a test of streams has the program replaced.
const replacements = 10

func TestStreamsGoOn(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		exampletest.EachWay(t, m, name, func(t *testing.T, way exampletest.Way) { streamsGoOn(t, m, way) })
	})
}

func streamsGoOn(t *testing.T, m *systemdtest.Machine, way exampletest.Way) {
	const (
		clients = 4
		lines   = 500 // of each client, between two replacements
	)
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
	// Every client goes on after every replacement.
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
	progress("before the first " + way.Name)
	for i := range replacements {
		way.Replace()
		progress(fmt.Sprintf("after %s %d", way.Name, i+1))
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
	t.Logf("%d clients sent %d lines, %d MB, across %d times a %s", clients, total, bytes>>20, replacements, way.Name)
}

// A client that does not read has the server wait in Write when it is to drain.
func TestSlowReader(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		exampletest.EachWay(t, m, name, func(t *testing.T, way exampletest.Way) {
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
				way.Replace()
			}
			close(stop)
			if err := c.finish(sending); err != nil {
				t.Error(err)
			}
			if n := c.bytes.Load(); n < 100_000 {
				t.Errorf("only %d bytes were sent", n)
			}
		})
	})
}

// While no process is there the kernel takes what clients do.
func TestBetweenProcesses(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.Systemctl("start", name+".socket")
		ctx := exampletest.Deadline(t)
		asks, leaves, hangsUp := dial(t, m, 0), dial(t, m, 1), dial(t, m, 2)
		for _, c := range []*client{asks, leaves, hangsUp} {
			if err := c.ask(); err != nil {
				t.Fatal(err)
			}
		}
		release := exampletest.Hold(m, service)
		m.Systemctl("restart", "--no-block", service)
		exampletest.WaitFor(t, ctx, "the process to be gone", func() bool {
			return m.Property(service, "SubState") == "start-pre"
		})
		comes := dial(t, m, 3)
		for _, c := range []*client{asks, leaves, hangsUp, comes} {
			if err := c.send(1); err != nil {
				t.Fatal(err)
			}
		}
		if err := leaves.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := hangsUp.conn.Close(); err != nil {
			t.Fatal(err)
		}
		release()
		for _, c := range []*client{asks, leaves, comes} {
			if err := c.check(); err != nil {
				t.Error(err)
			}
		}
		if _, err := leaves.answer.ReadByte(); err != io.EOF {
			t.Errorf("the client that has said all reads %v, want EOF", err)
		}
		for _, c := range []*client{asks, comes} {
			if err := c.ask(); err != nil {
				t.Error(err)
			}
		}
	})
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
