package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

func init() { helpers["hold"] = hold }

// hold is the helper that has many connections at once: it opens as many as its
// argument says, or as the limit of open files allows. Then, and for each line
// that it reads, it asks on every one of them, checks the answers, and prints how
// many there were. It ends with its standard input.
func hold(args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	n, err := allowed(want)
	if err != nil {
		return err
	}
	clients := make([]*client, n)
	for i := range clients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		clients[i] = newClient(conn, i)
	}
	for in := bufio.NewScanner(os.Stdin); ; {
		for _, c := range clients {
			if err := c.send(1); err != nil {
				return err
			}
		}
		for _, c := range clients {
			if err := c.check(); err != nil {
				return err
			}
		}
		fmt.Println(n)
		if !in.Scan() {
			return in.Err()
		}
	}
}

// allowed returns how many of want connections this process may open, after it
// has raised its limit if it may.
func allowed(want int) (int, error) {
	const others = 64 // descriptors
	limit := syscall.Rlimit{Cur: uint64(want + others), Max: uint64(want + others)}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return 0, err
	}
	if now.Max < limit.Max {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return int(now.Cur) - others, nil
		}
	}
	return want, nil
}
