// Command app is the service of the tests: it answers each line "ping" with "pong".
// When it is told to stop it takes no more connections, and waits for those whose
// line is under way. Under the name unicorn it replaces itself on SIGUSR2, as unicorn
// does: by a child that has its sockets.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/notify"
)

var (
	drainTimeout = flag.Duration("drain-timeout", time.Minute, "how long to wait for lines under way")
	drainSignal  = flag.Int("drain-signal", int(syscall.SIGTERM), "the signal to stop on")
	store        = flag.Bool("store", false, "store each connection, and go on with those that are stored")
	listen       = flag.String("listen", "", "bind this address")
	pidFile      = flag.String("pid-file", "", "write the own PID into this file")
	daemonize    = flag.Bool("daemonize", false, "go on as a child, and end")
	addAddress   = flag.String("add-address", "", "give the interface lo this address, and end")
)

func main() {
	flag.Parse()
	if *daemonize && os.Getenv("APP_DAEMON") == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), "APP_DAEMON=1")
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	err := run()
	if *addAddress != "" {
		err = add(*addAddress)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func add(ip string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	request, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	if err := request.SetInet4Addr(net.ParseIP(ip).To4()); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request)
}

type server struct {
	manager *notify.Notifier
	mu      sync.Mutex
	busy    map[net.Conn]bool // a line is under way
}

func run() error {
	if *addAddress != "" {
		return nil
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.Signal(*drainSignal))
	manager, err := notify.Open()
	if err != nil {
		return err
	}
	set, err := inherit()
	if err != nil {
		return err
	}
	s := &server{manager: manager, busy: make(map[net.Conn]bool)}
	var listeners []net.Listener
	for _, name := range set.Names() {
		more, err := set.Listeners(name)
		if err == nil {
			listeners = append(listeners, more...)
		}
		conns, err := set.Conns(name)
		for _, c := range conns {
			go s.serve(c)
		}
		if err != nil && len(more)+len(conns) == 0 {
			return err
		}
	}
	if *listen != "" {
		ln, err := net.Listen("tcp", *listen)
		if err != nil {
			return err
		}
		listeners = append(listeners, ln)
	} else if len(set.Names()) == 0 {
		return errors.New("no sockets were passed")
	}
	for _, ln := range listeners {
		go s.accept(ln)
	}
	replaced := make(chan os.Signal, 1)
	if filepath.Base(os.Args[0]) == "unicorn" {
		signal.Notify(replaced, syscall.SIGUSR2)
	}
	if *pidFile != "" && os.Getenv("APP_PARENT") == "" {
		if err := writePID(os.Getpid()); err != nil {
			return err
		}
	}
	if err := manager.Ready(context.Background()); err != nil {
		return err
	}
	child := 0
	select {
	case <-stop:
	case <-replaced:
		if child, err = replace(listeners); err != nil {
			return err
		}
	}
	for _, ln := range listeners {
		ln.Close()
	}
	if child != 0 && *pidFile != "" { // from here on every client is the child's
		if err := writePID(child); err != nil {
			return err
		}
	}
	for end := time.Now().Add(*drainTimeout); s.lines() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// inherit returns the sockets: those of the parent that this process replaces, or
// systemd's.
func inherit() (*activation.Set, error) {
	if os.Getenv("APP_PARENT") != "" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	return activation.Inherit()
}

// replace starts the program anew with the listeners, and returns its PID once it has
// been given them.
func replace(listeners []net.Listener) (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	for _, ln := range listeners {
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			return 0, err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(os.Environ(), "APP_PARENT=1", fmt.Sprint("LISTEN_FDS=", len(listeners)))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

func writePID(pid int) error {
	return os.WriteFile(*pidFile, fmt.Appendln(nil, pid), 0o644)
}

func (s *server) lines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.busy)
}

func (s *server) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		if *store {
			s.manager.StoreUnpolled(context.Background(), "connection", c.(syscall.Conn))
		}
		go s.serve(c)
	}
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		if _, err := r.ReadByte(); err != nil {
			return
		}
		s.mark(c, true)
		_, err := r.ReadString('\n')
		if err == nil {
			_, err = c.Write([]byte("pong\n"))
		}
		s.mark(c, false)
		if err != nil {
			return
		}
	}
}

func (s *server) mark(c net.Conn, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if busy {
		s.busy[c] = true
	} else {
		delete(s.busy, c)
	}
}
