package rotation

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/procnet"
)

// getFilter reads the filter that is attached to a socket, 0 instructions where
// there is none. Only as many as program takes are read.
func getFilter(fd int, program []unix.SockFilter) (n int, err error) {
	// The length is counted in instructions, in and out: socket(7), SO_GET_FILTER.
	length := uint32(0)
	get := func(p unsafe.Pointer) error {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			uintptr(p), uintptr(unsafe.Pointer(&length)), 0)
		if errno != 0 {
			return sysErr("getsockopt SO_GET_FILTER", errno)
		}
		return nil
	}
	if err := get(nil); err != nil || length == 0 || int(length) > len(program) {
		return int(length), err
	}
	return int(length), get(unsafe.Pointer(&program[0]))
}

// handshakes counts those under way on ports, as far as the kernel shows them to
// this process.
func handshakes(ports map[int]bool) int {
	count := 0
	for _, s := range procnet.TCP() {
		if s.State == procnet.TCPSynReceived && ports[s.Port] {
			count++
		}
	}
	return count
}

// sysErr names the system call that failed.
func sysErr(call string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call, err)
}
