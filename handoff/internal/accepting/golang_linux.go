package accepting

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// goEvents is what the runtime of Go asks epoll(7) for, and what the kernel adds.
const goEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLERR | unix.EPOLLHUP | 1<<31 // EPOLLET

// packings are the ways in which versions of Go pack the address of a descriptor's
// state and a tag into the data of an epoll event, tagptr_64bit.go: how many bits the
// tag has, and how many bits of an aligned address are left out.
var packings = []struct{ tag, align uint }{
	{64 - 49 + 9, 9},
	{64 - 49 + 3, 3},
	{64 - 48 + 9, 9},
	{64 - 48 + 3, 3},
}

// goroutineWaits reports whether a goroutine of a Go program waits until descriptor
// fd can be read, as it does in Accept, given the data of the epoll event. The
// runtime notes that in its pollDesc (netpoll.go; this layout since Go 1.21):
//
//	link  *pollDesc
//	fd    uintptr
//	fdseq uintptr // the tag
//	atomicInfo uint32
//	rg    uintptr // 0: nobody; 1: there is something to read; 2: about to wait; else the goroutine
//
// signalled is rg's 1: a client came, and no goroutine has asked for one since. Only
// Accept takes that back, so a program where it has gone accepts, however busy it is.
//
// It is known only if descriptor and tag agree with the event, so another layout
// cannot be mistaken for this one.
func goroutineWaits(pid, fd int, data uint64) (waits, signalled, known bool) {
	if strconv.IntSize != 64 {
		return false, false, false
	}
	for _, p := range packings {
		address := uint64(int64(data)>>p.tag) << p.align
		tag := data & (1<<p.tag - 1)
		b, err := memory(pid, address, 40)
		if err != nil {
			continue
		}
		word := func(i int) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }
		if tag != 0 && word(1) == uint64(fd) && word(2) == tag {
			return word(4) >= 2, word(4) == 1, true
		}
	}
	return false, false, false
}
