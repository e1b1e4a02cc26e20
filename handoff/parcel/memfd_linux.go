package parcel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What a body's memfd is sealed against, memfd_create(2): once a reader has
// found these seals, nobody can change the bytes under its hands or cut the
// file under its mapping.
const bodySeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// newMemfd returns a sealed memfd that holds the parts of a body.
func newMemfd(body [][]byte) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("parcel", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("parcel", flags)
	}
	if err != nil {
		return -1, limitOf("make a memfd", err)
	}
	for _, part := range body {
		if err := writeAll(fd, part); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("write %d bytes into a memfd: %w", len(part), err)
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, bodySeals|unix.F_SEAL_SEAL); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl F_ADD_SEALS", err)
	}
	return fd, nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// mapMemfd maps the body of size bytes that memfd fd holds; unmap ends it.
func mapMemfd(fd int, size int64) (body []byte, unmap func(), err error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its body is not in a memfd: %w", ErrFormat, err)
	}
	if seals&bodySeals != bodySeals {
		return nil, nil, fmt.Errorf("%w: its body's memfd has the seals %#x, want %#x", ErrFormat, seals, bodySeals)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, nil, os.NewSyscallError("fstat", err)
	}
	if st.Size != size {
		return nil, nil, fmt.Errorf("%w: its body's memfd has %d bytes, and the header says %d", ErrFormat, st.Size, size)
	}
	if size == 0 {
		return nil, func() {}, nil
	}
	body, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("map a body of %d bytes", size), os.NewSyscallError("mmap", err))
	}
	return body, func() { unix.Munmap(body) }, nil
}
