package fdstore

import (
	"bytes"
	"os"
	"strings"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// An incoming is a parcel that came to this generation.
type incoming struct {
	name     string
	file     *os.File // holds what is in the parcel
	delivery uint64   // of the Intake; 0: inherited
	reader   *parcel.Reader

	complete bool    // the writer has ended it
	newest   uint64  // generation of its records
	early    []early // in it, to be adopted before anything is taken out
	others   int     // entries in it that are not
	wanted   int     // entries that this program has a use for
	kept     int     // entries that wait for a later generation

	promises []protocol.Entry // of a manifest
}

// An early entry is adopted by its payload alone.
type early struct {
	protocol.Entry
	fate protocol.Fate
}

// inherited takes what was inherited under names that begin so.
func (t *Takeover) inherited(prefix string) []*incoming {
	var list []*incoming
	for _, name := range t.Inherited.Names() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		files, err := t.Inherited.Files(name)
		t.Report.Report(err)
		t.Store.Hold(len(files))
		for _, f := range files {
			list = append(list, &incoming{name: name, file: f})
		}
	}
	return list
}

// inspect opens p and checks everything that waits in it, and takes nothing out.
func (t *Takeover) inspect(p *incoming) error {
	return t.peek(p, func(e protocol.Entry) {
		if t.Registry.Early(e) {
			e.Data = bytes.Clone(e.Data)
			p.early = append(p.early, early{Entry: e})
			return
		}
		p.others++
		switch t.Registry.Judge(e) {
		case protocol.Take:
			p.wanted++
		case protocol.Keep:
			p.kept++
		}
	})
}

// inspectManifest reads a manifest.
func (t *Takeover) inspectManifest(p *incoming) error {
	return t.peek(p, func(e protocol.Entry) {
		e.Data = bytes.Clone(e.Data)
		p.promises = append(p.promises, e)
	})
}

// peek opens p and shows each entry but the first, whose bytes are not visit's to keep.
func (t *Takeover) peek(p *incoming, visit func(protocol.Entry)) error {
	r, err := parcel.NewReader(p.file, parcel.ReaderOptions{})
	if err != nil {
		return err
	}
	contents, err := r.Peek(func(kind, name string, payload []byte) error {
		rec, err := protocol.ParseRecord(payload)
		if err != nil {
			return err
		}
		p.newest = max(p.newest, rec.Generation)
		if kind != protocol.KindGeneration {
			visit(protocol.Entry{Kind: kind, Name: name, Record: rec})
		}
		return nil
	})
	if report.Limited(err) {
		// There is no room for the descriptors that wait; there may be later.
		t.Report.Reportf("parcel %q: %w", p.name, err)
		err = nil
	}
	if err != nil {
		r.Close()
		return err
	}
	p.reader, p.complete = r, contents.Complete
	return nil
}

// close lets go of p, which stays in the store.
func (p *incoming) close() {
	if p.reader != nil {
		p.reader.Close()
		p.reader = nil
	}
	p.file.Close()
}
