// Package procnet reads the tables of sockets below /proc/net, as far as the kernel
// shows them to this process: proc(5).
package procnet

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// A Socket is one of a table.
type Socket struct {
	Port  int    // its own, of TCP
	Path  string // its own, of Unix sockets; of abstract ones behind an @
	State int    // as the kernel numbers them: include/net/tcp_states.h, include/linux/net.h
	Inode string // as in the link /proc/PID/fd/N: socket:[INODE]; 0 where no descriptor is left
}

// States of a TCP socket.
const (
	TCPSynReceived = 3
	TCPListen      = 10
)

// UnixConnected is the state of a Unix socket that has a peer.
const UnixConnected = 3

// TCP returns the TCP sockets of this process's network namespace.
func TCP() []Socket {
	return append(read("tcp", parseTCP), read("tcp6", parseTCP)...)
}

// Unix returns the Unix sockets of this process's network namespace.
func Unix() []Socket { return read("unix", parseUnix) }

// read reads a table, and nothing where there is none.
func read(table string, parse func(io.Reader) []Socket) []Socket {
	f, err := os.Open("/proc/thread-self/net/" + table)
	if err != nil {
		return nil
	}
	defer f.Close()
	return parse(f)
}

// parseTCP reads rows such as
//
//	0: 0100007F:0050 0100007F:8A3C 01 00000000:00000000 00:00000000 00000000 0 0 INODE ...
func parseTCP(table io.Reader) (list []Socket) {
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		state, stateErr := strconv.ParseUint(fields[3], 16, 8)
		if err == nil && stateErr == nil {
			list = append(list, Socket{Port: int(n), State: int(state), Inode: fields[9]})
		}
	}
	return list
}

// parseUnix reads rows such as
//
//	0000000000000000: 00000003 00000000 00000000 0001 03 INODE /run/http
func parseUnix(table io.Reader) (list []Socket) {
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), " ", 7)
		if len(fields) < 7 {
			continue
		}
		inode, path, named := strings.Cut(strings.TrimLeft(fields[6], " "), " ")
		state, err := strconv.ParseUint(fields[5], 16, 8)
		if named && err == nil {
			list = append(list, Socket{Path: path, State: int(state), Inode: inode})
		}
	}
	return list
}
