package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// What a client has not read when the chat is replaced it can read afterwards:
// what had been written to its socket, the line that had been written in part, and
// those that were waiting.
func TestUnreadLinesGoOn(t *testing.T) {
	const lines = 900 // fewer than maxQueue
	onSystemds(t, func(t *testing.T, ctx context.Context, m *systemdtest.Machine, way exampletest.Way) {
		// So that most of it waits in the program, not in the kernel.
		m.Output("sh", "-c", "echo 4096 16384 262144 > /proc/sys/net/ipv4/tcp_wmem")
		slow := mustJoin(t, ctx, func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := m.Dial(ctx, network, address)
			if err == nil {
				err = c.(*net.TCPConn).SetReadBuffer(256 << 10)
			}
			return c, err
		}, address, "room", "slow")
		fast := mustJoin(t, ctx, m.Dial, address, "room", "fast")
		slow.expect(t, ctx, "* fast joined")

		line := func(i int) string { return fmt.Sprint(i, strings.Repeat(" blah", 800)) }
		for i := range lines {
			fast.mustSay(t, ctx, line(i))
			fast.expect(t, ctx, "fast: "+line(i))
		}
		for range 3 {
			way.Replace()
		}
		fast.mustSay(t, ctx, "that is all")
		for i := range lines {
			slow.expect(t, ctx, "fast: "+line(i))
		}
		slow.expect(t, ctx, "fast: that is all")
	})
}
