package supervisor

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
)

// A memory outlives this process in the manager's store: the number of the last
// generation, and of the last name that was used there. A removal that comes late
// must not meet a new entry of the same name.
type memory struct {
	file *os.File
	last [2]uint64
	kept bool // the manager has it
}

const (
	lastGeneration = iota
	lastName
)

// recall opens the memory that was inherited as f, or makes a new one where f is
// nil.
func recall(f *os.File) (*memory, error) {
	m := &memory{file: f, kept: f != nil}
	if f == nil {
		fd, err := unix.MemfdCreate("handoffd", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("memfd_create", err)
		}
		m.file = os.NewFile(uintptr(fd), aboveState)
		return m, m.write()
	}
	var b [16]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("%s: %w", aboveState, err)
	}
	for i := range m.last {
		m.last[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return m, nil
}

func (m *memory) write() error {
	var b []byte
	for _, n := range m.last {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	_, err := m.file.WriteAt(b, 0)
	return err
}

// name returns a name for e in the manager's store that was never used, or an error
// where the generation's name is too long for that.
func (m *memory) name(e *entry) (string, error) {
	m.last[lastName]++
	if err := m.write(); err != nil {
		return "", err
	}
	name := abovePrefix + strconv.FormatUint(m.last[lastName], 10)
	if e.polled {
		name += polledMark
	}
	name += "." + e.name
	if activation.CheckName(name) != nil {
		return "", fmt.Errorf("%q is too long a name to outlive this process", e.name)
	}
	return name, nil
}

// ownName returns the generation's name of what the manager keeps for us, and
// whether it is of no use after a hangup.
func ownName(above string) (name string, polled, ok bool) {
	rest, ok := strings.CutPrefix(above, abovePrefix)
	if !ok {
		return "", false, false
	}
	number, name, ok := strings.Cut(rest, ".")
	return name, strings.HasSuffix(number, polledMark), ok
}
