package accepting

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A callKind says how a system call names the descriptors that it waits on.
type callKind int

const (
	oneDescriptor  callKind = iota // the first argument is the descriptor
	pollDescriptor                 // the first two are an array of struct pollfd, and its length
	setDescriptor                  // the first two are a number of bits, and the set to read of
)

// A waitCall is a system call in which a process waits for clients.
type waitCall struct {
	name string
	kind callKind
}

// waitCalls lists them by number, those of all architectures here and the others in
// archCalls. A 32-bit process of a 64-bit machine has other numbers, and is not seen.
var waitCalls = func() map[uint64]waitCall {
	calls := map[uint64]waitCall{
		unix.SYS_ACCEPT4:  {"accept4", oneDescriptor},
		unix.SYS_RECVFROM: {"recvfrom", oneDescriptor},
		unix.SYS_RECVMSG:  {"recvmsg", oneDescriptor},
		unix.SYS_RECVMMSG: {"recvmmsg", oneDescriptor},
		unix.SYS_PPOLL:    {"ppoll", pollDescriptor},
		unix.SYS_PSELECT6: {"pselect6", setDescriptor},
	}
	for number, call := range archCalls {
		calls[number] = call
	}
	return calls
}()

// Caps on what is read of another process's memory.
const (
	maxPoll = 1 << 14 // descriptors
	maxSet  = 1 << 16
)

// parseCall reads /proc/PID/task/TID/syscall: the number and six arguments. A thread
// that runs, or is in none, has no such line.
func parseCall(text string) (call waitCall, args [6]uint64, ok bool) {
	fields := strings.Fields(text)
	if len(fields) < 1+len(args) {
		return call, args, false
	}
	number, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return call, args, false
	}
	for i := range args {
		if args[i], err = strconv.ParseUint(fields[i+1], 0, 64); err != nil {
			return call, args, false
		}
	}
	call, ok = waitCalls[number]
	return call, args, ok
}

// descriptors calls each for those that a call of the process waits on for input.
func (c waitCall) descriptors(pid int, args [6]uint64, each func(fd int)) error {
	switch c.kind {
	case oneDescriptor:
		each(int(int32(args[0])))
	case pollDescriptor:
		b, err := memory(pid, args[0], int(min(args[1], maxPoll))*8)
		if err != nil {
			return err
		}
		for ; len(b) >= 8; b = b[8:] {
			if binary.NativeEndian.Uint16(b[4:])&unix.POLLIN != 0 {
				each(int(int32(binary.NativeEndian.Uint32(b))))
			}
		}
	case setDescriptor:
		if args[1] == 0 { // it only waits to write
			return nil
		}
		words := int(min(args[0], maxSet)+63) / 64
		b, err := memory(pid, args[1], words*8)
		if err != nil {
			return err
		}
		for i := 0; len(b) >= 8; i, b = i+64, b[8:] {
			word := binary.NativeEndian.Uint64(b)
			for bit := range 64 {
				if word>>bit&1 != 0 {
					each(i + bit)
				}
			}
		}
	}
	return nil
}

// memory reads n bytes of a process's memory: by process_vm_readv(2), or from
// /proc/PID/mem where a system call filter forbids that.
func memory(pid int, address uint64, n int) ([]byte, error) {
	if n <= 0 {
		return nil, nil
	}
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(n)
	remote := []unix.RemoteIovec{{Base: uintptr(address), Len: n}}
	if got, err := unix.ProcessVMReadv(pid, local, remote, 0); err == nil && got == n {
		return b, nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = f.ReadAt(b, int64(address))
	return b, err
}
