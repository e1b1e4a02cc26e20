package sockdiag

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	byFamily   = 20 // SOCK_DIAG_BY_FAMILY
	headerSize = unix.NLMSG_HDRLEN
	maxAnswer  = 1 << 16
	maxAnswers = 1 << 12 // messages of one dump, up to maxAnswer each
)

// answerTimeout bounds the wait for the kernel's answer, which comes at once.
var answerTimeout = unix.Timeval{Sec: 2}

var order = binary.NativeEndian

// ask sends one request, and calls each with what every answer holds behind its
// header, until each returns false or the answers end. Without dump there is one.
func ask(request []byte, dump bool, each func(payload []byte) bool) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &answerTimeout); err != nil {
		return os.NewSyscallError("setsockopt(SO_RCVTIMEO)", err)
	}
	flags := uint16(unix.NLM_F_REQUEST)
	if dump {
		flags |= unix.NLM_F_DUMP
	}
	message := make([]byte, headerSize, headerSize+len(request))
	order.PutUint32(message, uint32(headerSize+len(request)))
	order.PutUint16(message[4:], byFamily)
	order.PutUint16(message[6:], flags)
	if err := unix.Sendto(fd, append(message, request...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto(NETLINK_SOCK_DIAG)", err)
	}
	b := make([]byte, maxAnswer)
	for range maxAnswers {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom(NETLINK_SOCK_DIAG)", err)
		}
		more, err := messages(b[:n], each)
		if err != nil || !more || !dump {
			return err
		}
	}
	return fmt.Errorf("sockdiag: more than %d answers", maxAnswers)
}

// messages calls each for the messages of b, and reports whether others follow.
func messages(b []byte, each func(payload []byte) bool) (more bool, err error) {
	for len(b) >= headerSize {
		size := int(order.Uint32(b))
		if size < headerSize || size > len(b) {
			return false, fmt.Errorf("sockdiag: a message of %d bytes within %d", size, len(b))
		}
		payload := b[headerSize:size]
		switch order.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return false, nil
		case unix.NLMSG_ERROR:
			if len(payload) < 4 {
				return false, fmt.Errorf("sockdiag: an error of %d bytes", len(payload))
			}
			return false, os.NewSyscallError("sock_diag", syscall.Errno(-int32(order.Uint32(payload))))
		case byFamily:
			if !each(payload) {
				return false, nil
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return true, nil
}

// attributes calls each for the attributes of b.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size := int(order.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		each(order.Uint16(b[2:]), b[unix.SizeofNlAttr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}
