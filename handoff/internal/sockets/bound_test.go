package sockets

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestBoundTo(t *testing.T) {
	tcp := func(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }
	udp := func(ip string, port int) net.Addr { return &net.UDPAddr{IP: net.ParseIP(ip), Port: port} }
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr             net.Addr
		network, address string
		want             bool
	}{
		{tcp("127.0.0.1", 80), "tcp", "127.0.0.1:80", true},
		{tcp("127.0.0.1", 80), "tcp4", "127.0.0.1:80", true},
		{tcp("127.0.0.1", 80), "tcp", "127.0.0.1:0", true},
		{tcp("127.0.0.1", 80), "tcp", "127.0.0.1:81", false},
		{tcp("127.0.0.1", 80), "tcp", "127.0.0.2:80", false},
		{tcp("127.0.0.1", 80), "tcp", ":80", false},
		{tcp("127.0.0.1", 80), "udp", "127.0.0.1:80", false},
		{tcp("127.0.0.1", 80), "tcp", "nonsense", false},
		{tcp("::", 80), "tcp", ":80", true},
		{tcp("::", 80), "tcp", "0.0.0.0:80", true},
		{tcp("::", 80), "tcp6", "[::]:80", true},
		{tcp("::", 80), "tcp4", ":80", false},
		{tcp("0.0.0.0", 80), "tcp", ":80", true},
		{tcp("0.0.0.0", 80), "tcp4", "0.0.0.0:80", true},
		{tcp("0.0.0.0", 80), "tcp6", ":80", false},
		{tcp("::", 80), "tcp", "[::1]:80", false},
		{tcp("::1", 80), "tcp", "[::1]:80", true},
		{udp("127.0.0.1", 53), "udp", "127.0.0.1:53", true},
		{udp("127.0.0.1", 53), "tcp", "127.0.0.1:53", false},
		{udp("127.0.0.1", 53), "udp", "127.0.0.1:54", false},
		{&net.UnixAddr{Name: path, Net: "unix"}, "unix", path, true},
		{&net.UnixAddr{Name: path, Net: "unix"}, "unixpacket", path, false},
		{&net.UnixAddr{Name: path + "gone", Net: "unix"}, "unix", path + "gone", false},
		{&net.UnixAddr{Name: path, Net: "unix"}, "unix", path + "2", false},
		{&net.UnixAddr{Name: "@abstract", Net: "unix"}, "unix", "@abstract", true},
		{&net.UnixAddr{Name: "@abstract", Net: "unix"}, "unix", "@other", false},
		{&net.UnixAddr{Name: path, Net: "unix"}, "unix", other, false},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}, "tcp", "[fe80::1%eth0]:80", true},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}, "tcp", "[fe80::1%eth1]:80", false},
		{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 53, Zone: "eth0"}, "udp", "[fe80::1%eth0]:53", true},
		{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 53, Zone: "eth0"}, "udp", "[fe80::1%eth1]:53", false},
		{udp("127.0.0.1", 53), "udp", "127.0.0.2:53", false},
		{udp("127.0.0.1", 53), "udp", "nonsense", false},
		{&net.IPAddr{IP: net.ParseIP("127.0.0.1")}, "ip", "127.0.0.1", true},
		{&net.IPAddr{IP: net.ParseIP("127.0.0.1")}, "ip", "127.0.0.2", false},
	} {
		if got := BoundTo(c.addr, c.network, c.address); got != c.want {
			t.Errorf("BoundTo(%v, %q, %q) = %v", c.addr, c.network, c.address, got)
		}
	}
}
