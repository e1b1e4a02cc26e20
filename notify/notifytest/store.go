package notifytest

import (
	"os"
	"slices"

	"github.com/holdfast-go/holdfast/notify"
)

// store keeps descriptors by the rules of systemd's fd store.
type store struct {
	max     int // 0: no limit
	entries []entry
}

type entry struct {
	name string
	file *os.File
	poll bool // dropped on a hangup
}

// apply does what a message asks for: first the removal, then the storing.
func (s *store) apply(n *notify.Notification) {
	s.evict()
	if name, ok := n.Message.Get("FDNAME"); ok && notify.CheckName(name) == nil && n.Message.Has("FDSTOREREMOVE", "1") {
		s.drop(func(e entry) bool { return e.name == name })
	}
	if !n.Message.Has("FDSTORE", "1") {
		return
	}
	for _, f := range n.Take() {
		// The limit comes before the look for duplicates, as in systemd.
		if (s.max > 0 && len(s.entries) >= s.max) || s.holds(f) {
			f.Close()
			continue
		}
		s.entries = append(s.entries, entry{n.Message.FDName(), f, !n.Message.Has("FDPOLL", "0")})
	}
}

// holds reports whether the open file that f refers to is stored already.
func (s *store) holds(f *os.File) bool {
	return slices.ContainsFunc(s.entries, func(e entry) bool { return sameOpenFile(e.file, f) })
}

// evict drops what hung up.
func (s *store) evict() {
	s.drop(func(e entry) bool { return e.poll && hungUp(e.file) })
}

func (s *store) drop(which func(entry) bool) {
	s.entries = slices.DeleteFunc(s.entries, func(e entry) bool {
		if !which(e) {
			return false
		}
		e.file.Close()
		return true
	})
}

func (s *store) byName() map[string][]*os.File {
	s.evict()
	files := map[string][]*os.File{}
	for _, e := range s.entries {
		files[e.name] = append(files[e.name], e.file)
	}
	return files
}

func (s *store) close() { s.drop(func(entry) bool { return true }) }
