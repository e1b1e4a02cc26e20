package storeserver

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
)

// Names under which the service manager has what is ours.
const (
	serialsName = "handoffd.state"
	copyPrefix  = "handoffd.entry." // a number, the mark or not, a dot, and the generation's name
	polledMark  = "p"
)

// Serials are two numbers in a file that outlives this process, because the service
// manager stores it: of the last generation, and of the last name of a copy. A removal
// that comes late must not meet a new entry of the same name.
type serials struct {
	file       *os.File
	generation uint64
	name       uint64
	stored     bool // the service manager has the file
}

// openSerials opens the file that was inherited, or makes a new one where f is nil. It
// takes f over.
func openSerials(f *os.File) (*serials, error) {
	n := &serials{file: f, stored: f != nil}
	if f == nil {
		fd, err := unix.MemfdCreate("handoffd", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("memfd_create", err)
		}
		n.file = os.NewFile(uintptr(fd), serialsName)
		return n, n.write()
	}
	var b [16]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("%s: %w", serialsName, err)
	}
	n.generation = binary.LittleEndian.Uint64(b[:])
	n.name = binary.LittleEndian.Uint64(b[8:])
	return n, nil
}

func (n *serials) write() error {
	b := binary.LittleEndian.AppendUint64(nil, n.generation)
	b = binary.LittleEndian.AppendUint64(b, n.name)
	_, err := n.file.WriteAt(b, 0)
	return err
}

// noteGeneration notes the number of a generation, so that no later one gets it.
func (n *serials) noteGeneration(gen uint64) error {
	n.generation = gen
	if err := n.write(); err != nil {
		return fmt.Errorf("note the generation's number: %w", err)
	}
	return nil
}

// copyName returns a name for a copy of e that was never used, or an error where the
// generation's name is too long for that.
func (n *serials) copyName(e *entry) (string, error) {
	n.name++
	if err := n.write(); err != nil {
		return "", err
	}
	name := copyPrefix + strconv.FormatUint(n.name, 10)
	if e.polled {
		name += polledMark
	}
	name += "." + e.name
	if activation.CheckName(name) != nil {
		return "", fmt.Errorf("%q is too long a name to outlive this process", e.name)
	}
	return name, nil
}

// parseCopyName returns the generation's name of what the service manager has for us,
// and whether it is of no use after a hangup.
func parseCopyName(copy string) (name string, polled, ok bool) {
	rest, ok := strings.CutPrefix(copy, copyPrefix)
	if !ok {
		return "", false, false
	}
	number, name, ok := strings.Cut(rest, ".")
	return name, strings.HasSuffix(number, polledMark), ok
}
