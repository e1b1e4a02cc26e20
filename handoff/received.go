package handoff

import (
	"bytes"
	"os"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A received is a parcel that came to this generation.
type received struct {
	name     string
	file     *os.File // holds what is in the parcel
	delivery uint64   // of the Intake; 0: inherited
	reader   *parcel.Reader

	complete bool         // the writer has ended it
	newest   uint64       // generation of its records
	states   []savedState // in it
	conns    int          // connections in it
	wanted   int          // entries that this program has a use for
	kept     int          // entries that wait for a later generation

	promises map[string]uint32 // versions of the states that will be saved
	keys     []byte            // for session tickets
}

// A savedState is a state as it came in a parcel.
type savedState struct {
	protocol.Entry
	fate protocol.Fate
}

// inherited takes what was inherited under names that begin so.
func (s *Service) inherited(prefix string) []*received {
	var list []*received
	for _, name := range s.set.Names() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		files, err := s.set.Files(name)
		s.report(err)
		s.store.hold(len(files))
		for _, f := range files {
			list = append(list, &received{name: name, file: f})
		}
	}
	return list
}

// inspect opens p and checks everything that waits in it, and takes nothing out.
func (s *Service) inspect(p *received) error {
	r, err := parcel.NewReader(p.file, parcel.ReaderOptions{})
	if err != nil {
		return err
	}
	p.promises = make(map[string]uint32)
	contents, err := r.Peek(func(kind, name string, payload []byte) error {
		rec, err := protocol.ParseRecord(payload)
		if err != nil {
			return err
		}
		p.newest = max(p.newest, rec.Generation)
		if kind == protocol.KindConn || kind == protocol.KindHTTP {
			p.conns++
		}
		switch {
		case kind == protocol.KindState:
			rec.Data = bytes.Clone(rec.Data)
			p.states = append(p.states, savedState{Entry: protocol.Entry{Kind: protocol.KindState, Name: name, Record: rec}})
		case kind == protocol.KindVersion:
			p.promises[name] = rec.Version
		case kind == protocol.KindKeys:
			p.keys = bytes.Clone(rec.Data)
		case s.knows(kind, name):
			p.wanted++
		case kind == protocol.KindConn || kind == protocol.KindHTTP:
			if s.keeps(kind, rec) {
				p.kept++
			}
		}
		return nil
	})
	if report.Limited(err) {
		// There is no room for the descriptors that wait; there may be later.
		s.reportf("parcel %q: %w", p.name, err)
		err = nil
	}
	if err != nil {
		r.Close()
		return err
	}
	p.reader, p.complete = r, contents.Complete
	return nil
}

// knows reports whether this program goes on with connections of a kind.
func (s *Service) knows(kind, name string) bool {
	switch kind {
	case protocol.KindConn:
		return s.carriers[name] != nil
	case protocol.KindHTTP:
		h, _ := s.httpFor(name)
		return h != nil
	}
	return false
}

// httpFor finds the server that goes on with the connections of a listener.
func (s *Service) httpFor(name string) (*httpServer, *gate) {
	for _, srv := range s.epoch.Load().servers {
		h, ok := srv.(*httpServer)
		if !ok {
			continue
		}
		for _, g := range h.listeners {
			if g.name == name && g.carries() {
				return h, g
			}
		}
	}
	return nil, nil
}

// keeps reports whether a record that this program does not know waits for a
// later generation.
func (s *Service) keeps(kind string, r protocol.Record) bool {
	limit := s.o.KeepConns
	if kind == protocol.KindState {
		limit = s.o.KeepStates
	}
	return time.Since(r.Saved) < limit
}

// close lets go of p, which stays in the store.
func (p *received) close() {
	if p.reader != nil {
		p.reader.Close()
		p.reader = nil
	}
	p.file.Close()
}
