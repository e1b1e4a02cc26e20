package activation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
)

// got writes a file below /run/got, where the test looks for it.
func got(name string, text []byte) error {
	const folder = "/run/got"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	temporary := filepath.Join(folder, "."+name)
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(folder, name))
}

// greet tells every connection where it ended up, for ever.
func greet(name string, l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintf(c, "%s %s %s", name, l.Addr().Network(), l.Addr())
		c.Close()
	}
}

// serveReport is what serveAll says of its descriptors.
type serveReport struct {
	Names               []string
	Kinds               []string // of those called all
	Failed              []string // checks that should be true
	PidfdID, HasPidfdID bool     // whether the manager gave one, and whether it could
}

// serveAll serves everything that testSockets passes it.
var serveAll = activation.Helper("serve-all", func() error {
	var r serveReport
	_, r.PidfdID = os.LookupEnv("LISTEN_PIDFDID")
	r.HasPidfdID = activation.HasPidfdID()
	s, err := activation.Inherit()
	if err != nil {
		return err
	}
	r.Names = s.Names()
	for _, d := range s.Unclaimed() {
		if d.Name == "all" {
			r.Kinds = append(r.Kinds, d.Kind.String())
		}
	}
	r.Failed = checkKinds(s)
	ended := make(chan error)
	for _, name := range s.Names() {
		listeners, err := s.Listeners(name)
		if err != nil {
			return err
		}
		for _, l := range listeners {
			go func() { ended <- greet(name, l) }()
		}
	}
	packets, err := s.PacketConns("all")
	if err != nil {
		return err
	}
	for _, p := range packets {
		go func() {
			buf := make([]byte, 100)
			n, _, err := p.ReadFrom(buf)
			ended <- errors.Join(err, got(p.LocalAddr().Network(), buf[:n]))
		}()
	}
	files, err := s.Files("all")
	if err != nil {
		return err
	}
	for _, f := range files {
		go func() { ended <- readFile(f) }()
	}
	if err := s.Close(); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := got("report", text); err != nil {
		return err
	}
	for {
		if err := <-ended; err != nil {
			return err
		}
	}
})

// checkKinds names the checks that are not true of what testSockets passes.
func checkKinds(s *activation.Set) (failed []string) {
	for name, check := range map[string]func(activation.Kind) (bool, error){
		"IsFIFO":    func(k activation.Kind) (bool, error) { return k.IsFIFO("/run/all/fifo") },
		"IsSpecial": func(k activation.Kind) (bool, error) { return k.IsSpecial("/dev/pts/ptmx") },
		"IsMQ": func(k activation.Kind) (bool, error) {
			if _, err := os.Stat("/dev/mqueue/all"); err != nil {
				return k.IsMQ("") // not mounted here: queues have no names to compare
			}
			return k.IsMQ("/all")
		},
		"IsSocketInet": func(k activation.Kind) (bool, error) {
			return k.IsSocketInet(unix.AF_INET6, unix.SOCK_STREAM, activation.Listening, 8080), nil
		},
		"IsSocketUnix": func(k activation.Kind) (bool, error) {
			return k.IsSocketUnix(unix.SOCK_DGRAM, activation.NotListening, "/run/all/datagram"), nil
		},
		"abstract": func(k activation.Kind) (bool, error) {
			return k.IsSocketUnix(unix.SOCK_STREAM, activation.Listening, "@all-stream"), nil
		},
	} {
		passed := 0
		for _, d := range s.Unclaimed() {
			if ok, err := check(d.Kind); err != nil {
				failed = append(failed, fmt.Sprintf("%s of %v: %v", name, d, err))
			} else if ok {
				passed++
			}
		}
		if passed != 1 {
			failed = append(failed, fmt.Sprintf("%s is true of %d descriptors", name, passed))
		}
	}
	slices.Sort(failed)
	return failed
}

// readFile reads one message from what is no socket.
func readFile(f *os.File) error {
	k, err := activation.Inspect(f)
	if err != nil {
		return err
	}
	buf := make([]byte, 8192) // a queue refuses to give its message to a buffer below its limit
	var n int
	switch k.Type {
	case activation.TypeMessageQueue:
		n, err = receive(f, buf)
	case activation.TypeCharDevice:
		n, err = terminal(f, buf)
	default:
		n, err = f.Read(buf)
	}
	return errors.Join(err, got(string(k.Type), buf[:n]))
}

// receive waits for a message in a queue. The file is non-blocking, so read(2)'s
// counterpart is called when the poller says so.
func receive(f *os.File, buf []byte) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n uintptr
	var errno unix.Errno
	err = raw.Read(func(fd uintptr) bool {
		n, _, errno = unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
		return errno != unix.EAGAIN
	})
	if errno != 0 {
		return 0, errno
	}
	return int(n), err
}

// terminal asks a terminal multiplexer for the number of its terminal, which
// shows that the descriptor is more than a number. To use the terminal would
// hang it up in the end, for which systemd fails the socket unit.
func terminal(f *os.File, buf []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { _, inner = unix.IoctlGetInt(int(fd), unix.TIOCGPTN) })
	return copy(buf, "terminal"), errors.Join(err, inner)
}

// sendQueue puts its second argument into the message queue that is its first.
var sendQueue = activation.Helper("send-queue", func() error {
	name, err := unix.BytePtrFromString(os.Args[1][1:])
	if err != nil {
		return err
	}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_WRONLY, 0, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("mq_open: %w", errno)
	}
	message := []byte(os.Args[2])
	_, _, errno = unix.Syscall6(unix.SYS_MQ_TIMEDSEND, fd, uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)), 0, 0, 0)
	runtime.KeepAlive(message)
	if errno != 0 {
		return fmt.Errorf("mq_send: %w", errno)
	}
	return nil
})

// peerReport is what servePeer tells its peer.
type peerReport struct {
	PID                    int
	Names                  []string
	Local, Remote          string
	RemoteAddr, RemotePort string // from the environment
}

// servePeer serves one connection of a socket with Accept=yes.
var servePeer = activation.Helper("serve-peer", func() error {
	s, err := activation.Inherit()
	if err != nil {
		return err
	}
	defer s.Close()
	c, err := s.Conn("connection")
	if err != nil {
		return err
	}
	defer c.Close()
	r := peerReport{PID: os.Getpid(), Names: s.Names(), Local: c.LocalAddr().String(), Remote: c.RemoteAddr().String()}
	r.RemoteAddr, r.RemotePort = s.Remote()
	return json.NewEncoder(c).Encode(r)
})

// serveVsock says where its listener is, and waits.
var serveVsock = activation.Helper("serve-vsock", func() error {
	s, err := activation.Inherit()
	if err != nil {
		return err
	}
	l, err := s.Listener("vm.socket")
	if err != nil {
		return err
	}
	if err := got("vsock", fmt.Appendf(nil, "%s %s", l.Addr().Network(), l.Addr())); err != nil {
		return err
	}
	return greet("vm", l)
})

// serveOne greets one connection, taken by name and kind, for a helper that is
// started by systemd-socket-activate. Its argument is the name.
var serveOne = activation.Helper("serve-one", func() error {
	s, err := activation.Inherit()
	if err != nil {
		return err
	}
	defer s.Close()
	c, err := s.Conn(os.Args[1])
	if errors.Is(err, activation.ErrKind) {
		l, err := s.Listener(os.Args[1])
		if err != nil {
			return err
		}
		defer l.Close()
		if c, err = l.Accept(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.WriteString(c, os.Args[1]+" "+strconv.Itoa(os.Getpid()))
	return err
})
