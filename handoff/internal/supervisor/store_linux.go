package supervisor

import (
	"os"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
)

// forStart reports whether what is called name is of use to a generation only at its
// start: all that package handoff stores but parcels.
func forStart(name string) bool {
	return strings.HasPrefix(name, protocol.Prefix) && !strings.HasPrefix(name, protocol.ParcelPrefix)
}

// An entry is a descriptor that a generation has stored.
type entry struct {
	name   string   // FDNAME= of the generation
	file   *os.File // ours
	above  string   // the name under which the manager has it too; "": it has not
	owner  uint64   // the generation that stored it; 0: one that is over
	polled bool     // not FDPOLL=0: of no use after a hangup
	watch  int32    // by which that is told; 0: not watched
	shared bool     // several may have it at once
	// holders are the generations that were given it, with the delivery's ID, or 0
	// where they inherited it. One that is not shared has at most one.
	holders map[uint64]uint64
}

// A store is what generations have left, in the order in which they did.
type store struct {
	entries []*entry
	limit   int
	target  uint64              // to whom goes what is stored; 0: it waits
	drops   map[uint64][]string // removals by generations that may yet be undone
}

// newEntry takes f over.
func newEntry(name string, f *os.File, owner uint64) *entry {
	return &entry{name: name, file: f, owner: owner, shared: shareable(name, f), holders: make(map[uint64]uint64)}
}

// shareable reports whether two generations may hold f at once: not what has a
// peer, such as a connection or a parcel, since each would take away from the
// other what it reads.
func shareable(name string, f *os.File) bool {
	if strings.HasPrefix(name, protocol.ManifestPrefix) {
		return true
	}
	kind, err := activation.Inspect(f)
	if err != nil {
		return false
	}
	switch kind.Type {
	case activation.TypeSocket:
		return !kind.Connected
	case activation.TypeFIFO:
		return false
	}
	return true
}

// add keeps e, unless there is no room, or it is there already. Then e is closed,
// and the store's own entry is as it was, as with systemd.
func (st *store) add(e *entry) bool {
	if len(st.entries) >= st.limit || slices.ContainsFunc(st.entries, func(o *entry) bool { return fd.Same(o.file, e.file) }) {
		e.file.Close()
		return false
	}
	st.entries = append(st.entries, e)
	return true
}

// inherit returns what a generation gets at its start: where no other serves all
// that nobody holds, and otherwise what it may share with those that run.
func (st *store) inherit(gen uint64, all bool) []activation.NamedFile {
	var files []activation.NamedFile
	for _, e := range st.entries {
		if e.shared || all && len(e.holders) == 0 {
			e.holders[gen] = 0
			files = append(files, activation.NamedFile{Name: e.name, File: e.file})
		}
	}
	return files
}

// due returns what is to be delivered to the target.
func (st *store) due() []*entry {
	if st.target == 0 {
		return nil
	}
	var list []*entry
	for _, e := range st.entries {
		_, held := e.holders[st.target]
		if e.owner != st.target && !held && !forStart(e.name) && (e.shared || len(e.holders) == 0) {
			list = append(list, e)
		}
	}
	return list
}

// reclaim takes back what a generation has, or has not taken. One that is not over
// keeps what several may have.
func (st *store) reclaim(gen uint64, over bool) {
	if over {
		delete(st.drops, gen)
	}
	for _, e := range st.entries {
		if e.shared && !over {
			continue
		}
		delete(e.holders, gen)
		if e.owner == gen {
			e.owner = 0
		}
	}
}

// owes reports whether a generation has not acknowledged all that it was, or is to
// be, delivered of what others have left for good. What a generation stores that
// drains may take as long as that.
func (st *store) owes(gen uint64) bool {
	left := func(e *entry) bool { return e.owner == 0 }
	return slices.ContainsFunc(st.entries, func(e *entry) bool { return left(e) && e.holders[gen] != 0 }) ||
		st.target == gen && slices.ContainsFunc(st.due(), left)
}

// acknowledged drops what a generation says it has taken.
func (st *store) acknowledged(gen, id uint64) []*entry {
	return st.drop(func(e *entry) bool {
		held, ok := e.holders[gen]
		return ok && held == id && id != 0
	})
}

// remove drops what a generation stored, or was given, under name. Until it is the
// service it may be undone: what it was given stays for the others.
func (st *store) remove(gen uint64, name string, committed bool) []*entry {
	if !committed {
		if list := st.drops[gen]; len(list) < st.limit && !slices.Contains(list, name) {
			st.drops[gen] = append(list, name)
		}
	}
	return st.drop(func(e *entry) bool {
		_, held := e.holders[gen]
		return e.name == name && (e.owner == gen || held && committed)
	})
}

// committed carries out what a generation has asked for before it was the service.
func (st *store) committed(gen uint64) []*entry {
	names := st.drops[gen]
	delete(st.drops, gen)
	return st.drop(func(e *entry) bool {
		_, held := e.holders[gen]
		return held && slices.Contains(names, e.name)
	})
}

// drop takes entries out. The caller tells the manager, and closes them.
func (st *store) drop(is func(*entry) bool) []*entry {
	var dropped []*entry
	st.entries = slices.DeleteFunc(st.entries, func(e *entry) bool {
		if is(e) {
			dropped = append(dropped, e)
			return true
		}
		return false
	})
	return dropped
}

// count returns how many entries a generation has stored.
func (st *store) count(gen uint64) int {
	n := 0
	for _, e := range st.entries {
		if e.owner == gen {
			n++
		}
	}
	return n
}

// Names under which the manager keeps what is ours.
const (
	aboveState  = "handoffd.state"
	abovePrefix = "handoffd.entry." // a number, the mark or not, a dot, and the generation's name
	polledMark  = "p"
)

// leftByPrograms reports whether a descriptor's name says that a program stored it
// when it ran without this package.
func leftByPrograms(name string) bool {
	return name == "stored" || strings.HasPrefix(name, protocol.Prefix)
}
