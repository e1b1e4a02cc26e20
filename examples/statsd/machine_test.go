package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	name    = "holdfast-statsd"
	service = name + ".service"
	socket  = name + ".socket"
	program = "/usr/local/bin/" + name

	udpAddress  = "127.0.0.1:8125"
	httpAddress = "127.0.0.1:8126"
)

// dialUDP connects a sender of datagrams to the service in m. It is closed with t.
func dialUDP(t *testing.T, ctx context.Context, m *systemdtest.Machine) net.Conn {
	t.Helper()
	conn, err := m.Dial(ctx, "udp", udpAddress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A query asks for the counters over one connection, for as long as that lives.
type query struct {
	t     *testing.T
	ctx   context.Context
	http  http.Client
	dials int
}

func newQuery(t *testing.T, ctx context.Context, m *systemdtest.Machine) *query {
	q := &query{t: t, ctx: ctx}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		q.dials++
		return m.Dial(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	q.http.Transport = transport
	return q
}

// counters returns the counters, and their sum.
func (q *query) counters() (sums map[string]float64, total int64) {
	q.t.Helper()
	r, err := http.NewRequestWithContext(q.ctx, "GET", "http://"+httpAddress+"/", nil)
	if err != nil {
		q.t.Fatal(err)
	}
	answer, err := q.http.Do(r)
	if err != nil {
		q.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		q.t.Fatalf("the service answers %s", answer.Status)
	}
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &sums)
	}
	if err != nil {
		q.t.Fatalf("read the counters: %v", err)
	}
	for _, n := range sums {
		total += int64(n)
	}
	return sums, total
}

// A udpSocket is what the kernel says of the service's datagram socket.
type udpSocket struct {
	inode string
	drops int64 // datagrams, since it was made
}

// inspect reads /proc/net/udp in m, proc_pid_net(5).
func inspect(t *testing.T, m *systemdtest.Machine) udpSocket {
	t.Helper()
	const local = "0100007F:1FBD" // udpAddress
	for line := range strings.Lines(m.Output("cat", "/proc/net/udp")) {
		f := strings.Fields(line)
		if len(f) != 13 || f[1] != local {
			continue
		}
		drops, err := strconv.ParseInt(f[12], 10, 64)
		if err != nil {
			t.Fatalf("/proc/net/udp: %v", err)
		}
		return udpSocket{inode: f[9], drops: drops}
	}
	t.Fatalf("/proc/net/udp has no socket on %s", udpAddress)
	return udpSocket{}
}
