package procnet

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const (
	tcpTable = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:0050 0100007F:8A3C 03 00000000:00000000 00:00000000 00000000     0        0 0 1\n" +
		"   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 635 1\n" +
		"   x: nonsense\n" +
		"   2: 0100007F:50000 0100007F:8A3E 01 00000000:00000000 00:00000000 00000000     0        0 7 1\n"
	unixTable = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"00000000520684d2: 00000003 00000000 00000000 0001 03   631\n" +
		"0000000058f9b4df: 00000003 00000000 00000000 0001 03   632 /run/a path  of mine\n" +
		"0000000058f9b4df: 00000003 00000000 00010000 0001 01 10633 @abstract\n" +
		"nonsense\n"
)

func TestParse(t *testing.T) {
	want := []Socket{{Port: 80, State: TCPSynReceived, Inode: "0"}, {Port: 81, State: TCPListen, Inode: "635"}}
	if got := parseTCP(strings.NewReader(tcpTable)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	want = []Socket{{Path: "/run/a path  of mine", State: 3, Inode: "632"}, {Path: "@abstract", State: 1, Inode: "10633"}}
	if got := parseUnix(strings.NewReader(unixTable)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestTables: the kernel's own rows are as this package reads them.
func TestTables(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has these tables")
	}
	listen := func(t *testing.T, network, address string) (port int, path string) {
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Skipf("no listener on %s: %v", address, err)
		}
		t.Cleanup(func() { ln.Close() })
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
			return tcp.Port, ""
		}
		return 0, ln.Addr().String()
	}
	for _, c := range []struct {
		name, network, address string
		read                   func() []Socket
	}{
		{"tcp", "tcp4", "127.0.0.1:0", TCP},
		{"tcp6", "tcp6", "[::1]:0", TCP},
		{"unix", "unix", filepath.Join(t.TempDir(), "a  socket"), Unix},
	} {
		t.Run(c.name, func(t *testing.T) {
			port, path := listen(t, c.network, c.address)
			table := c.read()
			n := slices.IndexFunc(table, func(s Socket) bool { return s.Port == port && s.Path == path })
			if n < 0 {
				t.Fatal("the table does not have it")
			}
			if link := "socket:[" + table[n].Inode + "]"; !slices.Contains(descriptors(t), link) {
				t.Errorf("no descriptor is %s", link)
			}
		})
	}
}

// descriptors returns what those of this process are.
func descriptors(t *testing.T) (list []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			list = append(list, target)
		}
	}
	return list
}

func FuzzTables(f *testing.F) {
	f.Add(tcpTable)
	f.Add(unixTable)
	f.Add("")
	f.Fuzz(func(t *testing.T, table string) {
		for _, s := range append(parseTCP(strings.NewReader(table)), parseUnix(strings.NewReader(table))...) {
			if s.Port < 0 || s.Port > 0xffff || strings.Contains(s.Inode, " ") || !strings.Contains(table, s.Inode) {
				t.Errorf("%+v of %q", s, table)
			}
		}
	})
}
