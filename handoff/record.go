package handoff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The kinds of entries in a parcel. doc.go describes them for peers in other
// languages.
const (
	kindGeneration = "generation" // begins every parcel
	kindHTTP       = "http"       // an HTTP/1 connection; named by its listener
	kindConn       = "conn"       // a Carrier's connection; named by the Carrier
	kindState      = "state"      // a saved state
	kindVersion    = "version"    // which version of a state will be saved
	kindKeys       = "keys"       // the ticket keys for TLS
)

// A record is the payload of every entry of ours.
type record struct {
	version    uint32    // of a state
	generation uint64    // that made the record
	saved      time.Time // when, in whole seconds: what nobody takes expires
	unread     []byte    // read from the connection, and not yet by the program
	data       []byte
}

const (
	recordFormat = 1
	recordHead   = 28
)

var (
	// errRecord: the record is none.
	errRecord = errors.New("malformed record")

	// errRecordFormat: a later version of this package may read the record.
	errRecordFormat = errors.New("unknown format of a record")
)

// marshal lays the record out.
func (r record) marshal() []byte {
	b := make([]byte, 0, recordHead+len(r.unread)+len(r.data))
	le := binary.LittleEndian
	b = append(b, recordFormat, 0, 0, 0)
	b = le.AppendUint32(b, r.version)
	b = le.AppendUint64(b, r.generation)
	b = le.AppendUint64(b, uint64(r.saved.Unix()))
	b = le.AppendUint32(b, uint32(len(r.unread)))
	b = append(b, r.unread...)
	return append(b, r.data...)
}

// parseRecord reads a payload, whose bytes the record shares. An error satisfies
// errors.Is with errRecord or errRecordFormat.
func parseRecord(b []byte) (record, error) {
	if len(b) == 0 {
		return record{}, fmt.Errorf("%w: it is empty", errRecord)
	}
	if b[0] != recordFormat {
		return record{}, fmt.Errorf("%w: %d, and this program reads %d", errRecordFormat, b[0], recordFormat)
	}
	if len(b) < recordHead {
		return record{}, fmt.Errorf("%w: %d bytes, want at least %d", errRecord, len(b), recordHead)
	}
	le := binary.LittleEndian
	r := record{
		version:    le.Uint32(b[4:]),
		generation: le.Uint64(b[8:]),
		saved:      time.Unix(int64(le.Uint64(b[16:])), 0),
	}
	unread := uint64(le.Uint32(b[24:]))
	rest := b[recordHead:]
	if unread > uint64(len(rest)) {
		return record{}, fmt.Errorf("%w: %d bytes where %d are unread", errRecord, len(rest), unread)
	}
	r.unread, r.data = rest[:unread:unread], rest[unread:]
	return r, nil
}
