package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A Record is the payload of every entry of ours.
type Record struct {
	Version    uint32    // of a state
	Generation uint64    // that made the record
	Saved      time.Time // when, in whole seconds: what nobody takes expires
	Unread     []byte    // read from the connection, and not yet by the program
	Data       []byte
}

const (
	recordFormat = 1
	recordHead   = 28
)

var (
	// ErrRecord: the record is none.
	ErrRecord = errors.New("malformed record")

	// ErrRecordFormat: a later version of this package may read the record.
	ErrRecordFormat = errors.New("unknown format of a record")
)

// Marshal lays the record out.
func (r Record) Marshal() []byte {
	b := make([]byte, 0, recordHead+len(r.Unread)+len(r.Data))
	le := binary.LittleEndian
	b = append(b, recordFormat, 0, 0, 0)
	b = le.AppendUint32(b, r.Version)
	b = le.AppendUint64(b, r.Generation)
	b = le.AppendUint64(b, uint64(r.Saved.Unix()))
	b = le.AppendUint32(b, uint32(len(r.Unread)))
	b = append(b, r.Unread...)
	return append(b, r.Data...)
}

// ParseRecord reads a payload, whose bytes the record shares. An error satisfies
// errors.Is with ErrRecord or ErrRecordFormat.
func ParseRecord(b []byte) (Record, error) {
	if len(b) == 0 {
		return Record{}, fmt.Errorf("%w: it is empty", ErrRecord)
	}
	if b[0] != recordFormat {
		return Record{}, fmt.Errorf("%w: %d, and this program reads %d", ErrRecordFormat, b[0], recordFormat)
	}
	if len(b) < recordHead {
		return Record{}, fmt.Errorf("%w: %d bytes, want at least %d", ErrRecord, len(b), recordHead)
	}
	le := binary.LittleEndian
	r := Record{
		Version:    le.Uint32(b[4:]),
		Generation: le.Uint64(b[8:]),
		Saved:      time.Unix(int64(le.Uint64(b[16:])), 0),
	}
	unread := uint64(le.Uint32(b[24:]))
	rest := b[recordHead:]
	if unread > uint64(len(rest)) {
		return Record{}, fmt.Errorf("%w: %d bytes where %d are unread", ErrRecord, len(rest), unread)
	}
	r.Unread, r.Data = rest[:unread:unread], rest[unread:]
	return r, nil
}
