package storeserver

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
	copy   string   // the name under which the service manager has it, too; "": it has not
	owner  uint64   // the generation that stored it; 0: one that is over
	polled bool     // not FDPOLL=0: of no use after a hangup
	watch  int32    // by which that is told; 0: not watched
	shared bool     // several may have it at once
	// holders are the generations that were given it, with the delivery's ID, or 0
	// where they inherited it. One that is not shared has at most one.
	holders map[uint64]uint64
}

// A table is what generations have left, in the order in which they did.
type table struct {
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
// and the table's own entry is as it was, as with systemd.
func (t *table) add(e *entry) bool {
	if len(t.entries) >= t.limit || slices.ContainsFunc(t.entries, func(o *entry) bool { return fd.Same(o.file, e.file) }) {
		e.file.Close()
		return false
	}
	t.entries = append(t.entries, e)
	return true
}

// inherit returns what a generation gets at its start: where no other serves all
// that nobody holds, and otherwise what it may share with those that run.
func (t *table) inherit(gen uint64, all bool) []activation.NamedFile {
	var files []activation.NamedFile
	for _, e := range t.entries {
		if e.shared || all && len(e.holders) == 0 {
			e.holders[gen] = 0
			files = append(files, activation.NamedFile{Name: e.name, File: e.file})
		}
	}
	return files
}

// due returns what is to be delivered to the target.
func (t *table) due() []*entry {
	if t.target == 0 {
		return nil
	}
	var list []*entry
	for _, e := range t.entries {
		_, held := e.holders[t.target]
		if e.owner != t.target && !held && !forStart(e.name) && (e.shared || len(e.holders) == 0) {
			list = append(list, e)
		}
	}
	return list
}

// reclaim takes back what a generation has, or has not taken. One that is not over
// keeps what several may have.
func (t *table) reclaim(gen uint64, over bool) {
	if over {
		delete(t.drops, gen)
	}
	for _, e := range t.entries {
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
func (t *table) owes(gen uint64) bool {
	left := func(e *entry) bool { return e.owner == 0 }
	return slices.ContainsFunc(t.entries, func(e *entry) bool { return left(e) && e.holders[gen] != 0 }) ||
		t.target == gen && slices.ContainsFunc(t.due(), left)
}

// acknowledged drops what a generation says it has taken.
func (t *table) acknowledged(gen, id uint64) []*entry {
	return t.drop(func(e *entry) bool {
		held, ok := e.holders[gen]
		return ok && held == id && id != 0
	})
}

// remove drops what a generation stored, or was given, under name. Until it is the
// service it may be undone: what it was given stays for the others.
func (t *table) remove(gen uint64, name string, committed bool) []*entry {
	if !committed {
		if list := t.drops[gen]; len(list) < t.limit && !slices.Contains(list, name) {
			t.drops[gen] = append(list, name)
		}
	}
	return t.drop(func(e *entry) bool {
		_, held := e.holders[gen]
		return e.name == name && (e.owner == gen || held && committed)
	})
}

// committed carries out what a generation has asked for before it was the service.
func (t *table) committed(gen uint64) []*entry {
	names := t.drops[gen]
	delete(t.drops, gen)
	return t.drop(func(e *entry) bool {
		_, held := e.holders[gen]
		return held && slices.Contains(names, e.name)
	})
}

// drop takes entries out. The caller drops their copies, and closes them.
func (t *table) drop(is func(*entry) bool) []*entry {
	var dropped []*entry
	t.entries = slices.DeleteFunc(t.entries, func(e *entry) bool {
		if is(e) {
			dropped = append(dropped, e)
			return true
		}
		return false
	})
	return dropped
}

// count returns how many entries a generation has stored.
func (t *table) count(gen uint64) int {
	n := 0
	for _, e := range t.entries {
		if e.owner == gen {
			n++
		}
	}
	return n
}
