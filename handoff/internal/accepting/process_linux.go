package accepting

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Caps on what one look reads.
const (
	maxProcesses   = 512
	maxThreads     = 4096    // of all processes
	maxDescriptors = 4096    // of one process: the kernel lists the lowest first
	maxEpoll       = 1 << 18 // bytes of one epoll set's description
)

// A process is what a look finds in /proc about one process. The fields are filled
// in that order.
type process struct {
	pid     int
	dir     string
	holds   map[int]*Socket // the watched sockets, by descriptor
	others  []uint32        // inodes of its other sockets
	epolls  []string        // descriptors
	rings   []string
	full    bool // it has more descriptors than were looked at
	waits   []Wait
	dormant map[*Socket]bool // in the epoll set of a Go program of which no goroutine waits; true: signalled
}

// errGone: the process has ended.
var errGone = errors.New("it has ended")

// inspect looks at a process, and at most as many threads. An error other than
// errGone is about what may not be seen; what was seen is in p all the same.
func inspect(pid int, sockets map[uint32]*Socket, threads *int) (p *process, err error) {
	p = &process{pid: pid, dir: "/proc/" + strconv.Itoa(pid), holds: make(map[int]*Socket), dormant: make(map[*Socket]bool)}
	if err := p.descriptors(sockets); err != nil {
		return p, err
	}
	if len(p.holds) == 0 {
		return p, nil
	}
	for _, fd := range p.epolls {
		text, epollErr := p.read("fdinfo/"+fd, maxEpoll)
		if epollErr != nil {
			err = epollErr
		}
		p.epoll(text, sockets)
	}
	for _, fd := range p.rings {
		text, ringErr := p.read("fdinfo/"+fd, maxEpoll)
		if ringErr != nil {
			err = ringErr
		}
		p.ring(text)
	}
	return p, errors.Join(err, p.threads(threads))
}

// descriptors notes which sockets the process holds.
func (p *process) descriptors(sockets map[uint32]*Socket) error {
	dir, err := os.Open(p.dir + "/fd")
	if err != nil {
		return p.gone(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxDescriptors)
	if err != nil && !errors.Is(err, io.EOF) {
		return p.gone(err)
	}
	p.full = len(names) == maxDescriptors
	b := make([]byte, 64)
	at := int(dir.Fd())
	for _, name := range names {
		n, err := unix.Readlinkat(at, name, b)
		if err == unix.EACCES || err == unix.EPERM {
			return err // the folder may be read, and no link in it
		}
		if err != nil {
			continue
		}
		switch target := string(b[:n]); {
		case target == "anon_inode:[eventpoll]":
			p.epolls = append(p.epolls, name)
		case target == "anon_inode:[io_uring]":
			p.rings = append(p.rings, name)
		case strings.HasPrefix(target, "socket:["):
			inode, err := strconv.ParseUint(strings.TrimSuffix(target[len("socket:["):], "]"), 10, 32)
			if err != nil {
				continue
			}
			if s := sockets[uint32(inode)]; s == nil {
				p.others = append(p.others, uint32(inode))
			} else if fd, err := strconv.Atoi(name); err == nil {
				p.holds[fd] = s
			}
		}
	}
	return nil
}

// gone tells the end of the process from a process that is hidden (ProtectProc= of
// systemd.exec(5)).
func (p *process) gone(err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	if unix.Kill(p.pid, 0) == unix.ESRCH {
		return errGone
	}
	if _, err := os.Lstat(p.dir); err == nil {
		return errGone // a zombie, or another process that has the number now
	}
	return errors.New("the process is hidden")
}

func (p *process) read(name string, most int64) (string, error) {
	f, err := os.Open(p.dir + "/" + name)
	if err != nil {
		return "", onlyDenied(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	return string(b), onlyDenied(err)
}

// onlyDenied returns err if it is about rights: a descriptor, a thread or a process
// may end while it is looked at.
func onlyDenied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func (p *process) add(s *Socket, by string) {
	w := Wait{PID: p.pid, Socket: *s, By: by}
	if !slices.Contains(p.waits, w) {
		p.waits = append(p.waits, w)
	}
}

// epoll reads what /proc/PID/fdinfo says of an epoll set:
//
//	tfd:        5 events:       1d data:  7f00000000  pos:0 ino:1234 sdev:9
func (p *process) epoll(text string, sockets map[uint32]*Socket) {
	for line := range strings.Lines(text) {
		e, ok := parseEpoll(line)
		if !ok || e.events&unix.EPOLLIN == 0 { // 0 after one shot
			continue
		}
		s := sockets[e.inode]
		if s == nil || s.device != e.device {
			continue
		}
		if e.events&^uint32(unix.EPOLLEXCLUSIVE) == goEvents {
			if waits, signalled, known := goroutineWaits(p.pid, e.fd, e.data); known && !waits {
				p.dormant[s] = signalled
				continue
			}
		}
		p.add(s, "epoll")
	}
}

type epollEntry struct {
	fd     int
	events uint32
	data   uint64
	inode  uint32
	device uint64
}

func parseEpoll(line string) (e epollEntry, ok bool) {
	fields := strings.Fields(strings.ReplaceAll(line, ":", ": "))
	if len(fields) < 2 || fields[0] != "tfd:" {
		return e, false
	}
	found := 0
	for i := 0; i+1 < len(fields); i += 2 {
		base := 16
		if fields[i] == "tfd:" || fields[i] == "pos:" {
			base = 10
		}
		n, err := strconv.ParseUint(fields[i+1], base, 64)
		if err != nil {
			return e, false
		}
		found++
		switch fields[i] {
		case "tfd:":
			e.fd = int(n)
		case "events:":
			e.events = uint32(n)
		case "data:":
			e.data = n
		case "ino:":
			e.inode = uint32(n)
		case "sdev:":
			e.device = n
		default:
			found--
		}
	}
	return e, found >= 5
}

// acceptUnderWay is how io_uring's description lists an IORING_OP_ACCEPT that waits,
// and receiveUnderWay how it lists IORING_OP_RECVMSG and IORING_OP_RECV.
const acceptUnderWay = "op=13,"

var receiveUnderWay = []string{"op=10,", "op=27,"}

// ring reads what /proc/PID/fdinfo says of an io_uring. It does not say which socket
// an operation is on. So the process is seen to wait only if as many are under way as
// it has sockets that they could be on.
func (p *process) ring(text string) {
	_, polls, _ := strings.Cut(text, "PollList:")
	accepts, receives := strings.Count(polls, acceptUnderWay), 0
	for _, op := range receiveUnderWay {
		receives += strings.Count(polls, op)
	}
	listeners, datagrams := make(map[*Socket]bool), make(map[*Socket]bool)
	for _, s := range p.holds {
		if s.stream {
			listeners[s] = true
		} else {
			datagrams[s] = true
		}
	}
	if accepts > 0 {
		own, known := listening(p.others)
		if known && accepts >= len(listeners)+len(own) {
			p.addAll(listeners, "io_uring")
		}
	}
	if receives > 0 && receives >= len(datagrams)+len(p.others) {
		p.addAll(datagrams, "io_uring")
	}
}

func (p *process) addAll(sockets map[*Socket]bool, by string) {
	for s := range sockets {
		p.add(s, by)
	}
}

// threads looks at the system calls in which the process's threads wait.
func (p *process) threads(left *int) error {
	dir, err := os.Open(p.dir + "/task")
	if err != nil {
		return onlyDenied(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(max(*left, 1))
	*left -= len(names)
	denied := onlyDenied(err)
	for _, name := range names {
		text, err := p.read("task/"+name+"/syscall", 4096)
		if err != nil {
			denied = err
			continue
		}
		call, args, ok := parseCall(text)
		if !ok {
			continue
		}
		err = call.descriptors(p.pid, args, func(fd int) {
			if s := p.holds[fd]; s != nil {
				p.add(s, call.name)
			}
		})
		if err := onlyDenied(err); err != nil {
			denied = err
		}
	}
	return denied
}

// Holds reports whether a process has the socket with the inode, as far as that may be
// seen.
func Holds(pid int, inode uint32) bool {
	p := &process{pid: pid, dir: "/proc/" + strconv.Itoa(pid)}
	p.descriptors(nil)
	return slices.Contains(p.others, inode)
}
