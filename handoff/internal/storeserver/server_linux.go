package storeserver

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/notify"
)

// deliverTimeout bounds a message to a generation. There is room for hundreds of
// them, more than the store ever holds.
const deliverTimeout = 100 * time.Millisecond

// A Delivery is the way to one generation, HANDOFF_SOCKET. *parcel.Deliverer is one.
type Delivery interface {
	// Deliver sends files under a name, and returns the number by which the generation
	// will say that it has taken them.
	Deliver(ctx context.Context, name string, files ...*os.File) (id uint64, err error)
}

// A Mirror is the store of the service manager, for copies that outlive this process.
// *manager.Manager is one.
type Mirror interface {
	Known() bool                         // it is known by now whether there is a store
	Keeps() bool                         // there is one; waits until that is known
	StoreLimit() (limit int, known bool) // how many descriptors it takes
	Keep(name string, f *os.File)        // stores f, also after a hangup
	KeepPolled(name string, f *os.File)  // stores f until a hangup
	Drop(name string)                    // removes what is stored under a name
}

// A Server is the store. Use New.
type Server struct {
	table
	serials *serials
	mirror  Mirror
	peers   map[uint64]*peer
	hangups *hangupWatch
	watched int32 // the last number that hangups was given
	taken   func(gen uint64)
	log     *slog.Logger
}

// A peer is a generation.
type peer struct {
	PeerState
	delivery Delivery
	deaf     bool // what was to be delivered last did not go in, and nothing was taken since
	full     bool // it is known that the store had no room for what it sent
}

// New returns a store. taken is called after AwaitTaken, by the method that finds it.
// SetMirror, then SetLimit and Inherit or else Restore, and Watch must follow.
func New(log *slog.Logger, taken func(gen uint64)) *Server {
	return &Server{table: table{drops: make(map[uint64][]string)}, peers: make(map[uint64]*peer), taken: taken, log: log}
}

// SetMirror has copies go to m.
func (s *Server) SetMirror(m Mirror) { s.mirror = m }

// SetLimit sets how many descriptors generations may store. 0 is what the mirror takes,
// less one for the serials.
func (s *Server) SetLimit(limit int) {
	if s.limit = limit; limit > 0 {
		return
	}
	s.limit = DefaultLimit
	if limit, known := s.mirror.StoreLimit(); known && limit > 0 {
		s.limit = limit - 1
	}
}

// Inherit takes over what the service manager has given back of the store, and returns
// the rest of the files, which the caller still has. An error says that the last numbers
// are lost.
func (s *Server) Inherit(files []activation.NamedFile) (rest []activation.NamedFile, err error) {
	var numbers *os.File
	var stale []string
	for _, f := range files {
		own, polled, ours := parseCopyName(f.Name)
		switch {
		case f.Name == serialsName && numbers == nil:
			numbers = f.File
		case f.Name == serialsName || f.Name == notify.ProbeName:
			f.File.Close()
		case ours || leftByPrograms(f.Name):
			if !ours {
				own = f.Name
			}
			e := newEntry(own, f.File, 0)
			// What a program left with the manager itself it may have left with
			// FDPOLL=0; if not, the manager has dropped it when it hung up.
			e.copy, e.polled = f.Name, polled
			s.limit = max(s.limit, len(s.entries)+1) // none of it is given up
			if !s.add(e) {
				stale = append(stale, f.Name)
			}
		default:
			rest = append(rest, f)
		}
	}
	if s.serials, err = openSerials(numbers); err != nil {
		return rest, err
	}
	for _, name := range stale {
		s.mirror.Drop(name)
	}
	return rest, nil
}

// leftByPrograms reports whether a descriptor's name says that a program stored it
// when it ran without handoffd.
func leftByPrograms(name string) bool {
	return name == "stored" || strings.HasPrefix(name, protocol.Prefix)
}

// Stored reports whether the service manager gave the store back, and so has one.
func (s *Server) Stored() bool { return s.serials != nil && s.serials.stored }

// Watch drops entries that hang up from now on. post calls a function in the owner's
// goroutine.
func (s *Server) Watch(post func(func()) bool) (err error) {
	s.hangups, err = watchHangups(func(id int32) { post(func() { s.hungUp(id) }) })
	if err != nil {
		return err
	}
	for _, e := range s.entries {
		s.poll(e)
	}
	return nil
}

// Close lets go of everything. The copies stay.
func (s *Server) Close() {
	if s.hangups != nil {
		s.hangups.close()
	}
	for _, e := range s.entries {
		e.file.Close()
	}
	if s.serials != nil {
		s.serials.file.Close()
	}
}

// LastGeneration returns the number that was noted last, also by a process before this
// one.
func (s *Server) LastGeneration() uint64 { return s.serials.generation }

// NoteGeneration notes the number of a generation, so that no later one gets it.
func (s *Server) NoteGeneration(gen uint64) error { return s.serials.noteGeneration(gen) }

// Attach makes a generation known, and d the way to it.
func (s *Server) Attach(gen uint64, d Delivery) { s.peers[gen] = &peer{delivery: d} }

// Detach says that there is no way to a generation any more. What it was given and
// stored stays its own until Reclaim.
func (s *Server) Detach(gen uint64) { delete(s.peers, gen) }

// Files returns what a generation gets at its start: where no other serves all that
// nobody holds, and otherwise what it may share with those that run. The files stay the
// store's.
func (s *Server) Files(gen uint64, all bool) []activation.NamedFile { return s.inherit(gen, all) }

// Serve has what is stored go to a generation from now on, which is the service; 0 is
// none.
func (s *Server) Serve(gen uint64) {
	s.target = gen
	if p := s.peers[gen]; p != nil {
		p.Committed = true
		s.discard(s.committed(gen))
	}
	s.Route()
}

// Committed reports whether a generation is, or was, the service.
func (s *Server) Committed(gen uint64) bool {
	p := s.peers[gen]
	return p != nil && p.Committed
}

// Route delivers what is due.
func (s *Server) Route() {
	p := s.peers[s.target]
	if p == nil || p.deaf {
		return
	}
	for _, e := range s.due() {
		ctx, cancel := context.WithTimeout(context.Background(), deliverTimeout)
		id, err := p.delivery.Deliver(ctx, e.name, e.file)
		cancel()
		if err != nil {
			// Or everything that is stored from now on would have all wait in vain.
			p.deaf = true
			s.log.Warn("what is stored could not be delivered, and waits for the next generation", "generation", s.target, "error", err)
			return
		}
		e.holders[s.target] = id
	}
}

// Taken says that a generation has taken the delivery with that number: it is dropped.
func (s *Server) Taken(gen, id uint64) {
	s.discard(s.acknowledged(gen, id))
	if p := s.peers[gen]; p != nil && p.deaf {
		p.deaf = false
		s.Route()
	}
}

// AwaitTaken has taken called once a generation has taken all that it was delivered.
// One that does not speak HANDOFF_SOCKET may not read it: what it is delivered waits for
// its successor.
func (s *Server) AwaitTaken(gen uint64, speaks bool) {
	p := s.peers[gen]
	switch {
	case p == nil:
	case !speaks:
		p.Awaiting = false
		s.taken(gen)
	default:
		p.Awaiting = true
		s.checkTaken(gen)
	}
}

func (s *Server) checkTaken(gen uint64) {
	if p := s.peers[gen]; p != nil && p.Awaiting && !s.owes(gen) {
		p.Awaiting = false
		s.taken(gen)
	}
}

// Reclaim takes back what a generation has, or has not taken. One that is not over keeps
// what several may have.
func (s *Server) Reclaim(gen uint64, over bool) {
	s.reclaim(gen, over)
	s.Route()
}

// Store takes files over that a generation has sent under a name. polled says that they
// are of no use after a hangup. last says that no later generation will come in this
// process.
func (s *Server) Store(gen uint64, name string, files []*os.File, polled, last bool) {
	for _, f := range files {
		e := newEntry(name, f, gen)
		if p := s.peers[gen]; len(s.entries) >= s.limit && p != nil && !p.full {
			p.full = true
			s.log.Warn("not stored, and closed: the store is full, see --store and FileDescriptorStoreMax=", "generation", gen, "name", name, "limit", s.limit)
		}
		if last && s.storeIsPointless() || !s.add(e) {
			f.Close()
			s.log.Debug("not stored", "generation", gen, "name", name)
			continue
		}
		e.polled = polled
		s.poll(e)
		if s.mirror.Known() {
			s.copyUp(e)
		}
	}
	s.Route()
}

// storeIsPointless reports, of a service that ends, that no later one would get what is
// stored now. A program that is told so at once, by the closed descriptor, finishes what
// it would have left.
func (s *Server) storeIsPointless() bool {
	limit, known := s.mirror.StoreLimit()
	return !s.mirror.Keeps() || known && len(s.entries)+1 >= limit
}

// Remove drops what a generation stored, or was given, under a name. Until it is the
// service it may be undone: what it was given stays for the others.
func (s *Server) Remove(gen uint64, name string) {
	s.discard(s.remove(gen, name, s.Committed(gen)))
}

// Count returns how many descriptors a generation has stored.
func (s *Server) Count(gen uint64) int { return s.count(gen) }

// Usage returns how many descriptors are stored, and how many may be.
func (s *Server) Usage() (stored, limit int) { return len(s.entries), s.limit }

// CopyAllUp copies what was stored before it was known that the mirror keeps anything,
// and waits until that is known.
func (s *Server) CopyAllUp() {
	if s.mirror.Keeps() && !s.serials.stored {
		s.serials.stored = true
		s.mirror.KeepPolled(serialsName, s.serials.file)
	}
	for _, e := range s.entries {
		if e.copy == "" {
			s.copyUp(e)
		}
	}
}

// copyUp has the mirror keep e, if it keeps anything.
func (s *Server) copyUp(e *entry) {
	if !s.mirror.Keeps() {
		return
	}
	name, err := s.serials.copyName(e)
	if err != nil {
		s.log.Warn("the manager does not keep what was stored", "generation", e.owner, "error", err)
		return
	}
	e.copy = name
	s.mirror.Keep(name, e.file)
}

// poll has e dropped when it hangs up, if that makes it useless.
func (s *Server) poll(e *entry) {
	if e.polled {
		s.watched++
		e.watch = s.watched
		s.hangups.add(e.file, e.watch)
	}
}

// hungUp drops an entry that is of no use any more.
func (s *Server) hungUp(watch int32) {
	s.discard(s.drop(func(e *entry) bool { return e.watch == watch }))
}

// discard lets go of entries that were taken out of the table.
func (s *Server) discard(entries []*entry) {
	for _, e := range entries {
		if e.watch != 0 {
			s.hangups.remove(e.file)
		}
		e.file.Close()
		if e.copy != "" {
			s.mirror.Drop(e.copy)
		}
	}
	s.checkTaken(s.target)
}
