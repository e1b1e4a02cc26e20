package parcel

import (
	"encoding/binary"
	"fmt"
)

// The numbers of the wire format, which doc.go describes.
const (
	magic        = "HFPARCEL"
	majorVersion = 1
	minorVersion = 0

	headerSize     = 64
	entrySize      = 24       // the fixed part of an entry
	maxMessage     = 64 << 10 // bytes of one message on the socket
	maxInline      = 4 << 10  // a larger body is put into a memfd
	maxSharedBody  = 1 << 20  // the body of a message of several entries
	maxEntryHead   = 64 << 10 // an entry's bytes before its payload
	maxDescriptors = MaxDescriptors + 1
)

type messageType uint8

const (
	typeData messageType = 1
	typeEnd  messageType = 2
)

const (
	flagMemfd  = 1 << 0 // of a message
	flagSecret = 1 << 0 // of an entry
)

// A header begins every message.
type header struct {
	Type        messageType
	Memfd       bool   // the first descriptor holds the body
	Descriptors int    // attached to the message, the memfd included
	Entries     int    // in this message
	BodyLen     int64  // bytes
	Seq         uint64 // 1 for the first message of the parcel
	Before      Counts // in all messages before this one
}

// appendHeader appends h as the format lays it out.
func appendHeader(b []byte, h header) []byte {
	var flags uint8
	if h.Memfd {
		flags |= flagMemfd
	}
	le := binary.LittleEndian
	b = append(b, magic...)
	b = le.AppendUint16(b, majorVersion)
	b = le.AppendUint16(b, minorVersion)
	b = append(b, byte(h.Type), flags)
	b = le.AppendUint16(b, uint16(h.Descriptors))
	b = le.AppendUint32(b, headerSize)
	b = le.AppendUint32(b, uint32(h.Entries))
	b = le.AppendUint64(b, uint64(h.BodyLen))
	b = le.AppendUint64(b, h.Seq)
	b = le.AppendUint64(b, uint64(h.Before.Entries))
	b = le.AppendUint64(b, uint64(h.Before.Descriptors))
	return le.AppendUint64(b, uint64(h.Before.Bytes))
}

// parseMessage reads the header of message m and returns the part of the body
// that follows it on the socket: all of it, or nothing where a memfd has it.
func parseMessage(m []byte, maxPayload int64) (h header, inline []byte, err error) {
	if len(m) < len(magic)+4 || string(m[:len(magic)]) != magic {
		return h, nil, fmt.Errorf("%w: %d bytes that do not begin with %q", ErrFormat, len(m), magic)
	}
	le := binary.LittleEndian
	if major, minor := le.Uint16(m[8:]), le.Uint16(m[10:]); major != majorVersion {
		return h, nil, fmt.Errorf("%w: it is %d.%d, and this program reads %d", ErrVersion, major, minor, majorVersion)
	}
	if len(m) < headerSize {
		return h, nil, fmt.Errorf("%w: %d bytes, want a header of %d", ErrFormat, len(m), headerSize)
	}
	flags, headLen := m[13], int64(le.Uint32(m[16:]))
	bodyLen, before := le.Uint64(m[24:]), [3]uint64{le.Uint64(m[40:]), le.Uint64(m[48:]), le.Uint64(m[56:])}
	h = header{
		Type:        messageType(m[12]),
		Memfd:       flags&flagMemfd != 0,
		Descriptors: int(le.Uint16(m[14:])),
		Entries:     int(le.Uint32(m[20:])),
		Seq:         le.Uint64(m[32:]),
	}
	switch {
	case h.Seq == 0:
		return h, nil, fmt.Errorf("%w: sequence number 0", ErrFormat)
	case flags&^flagMemfd != 0:
		return h, nil, fmt.Errorf("%w: message %d: unknown flags %#x", ErrFormat, h.Seq, flags&^flagMemfd)
	case headLen < headerSize || headLen > int64(len(m)):
		return h, nil, fmt.Errorf("%w: message %d: header length %d in a message of %d bytes", ErrFormat, h.Seq, headLen, len(m))
	case bodyLen > uint64(maxPayload+maxSharedBody):
		return h, nil, fmt.Errorf("%w: message %d: a body of %d bytes; payloads of up to %d are accepted", ErrFormat, h.Seq, bodyLen, maxPayload)
	case max(before[0], before[1], before[2]) > 1<<62:
		return h, nil, fmt.Errorf("%w: message %d: absurd counts %d", ErrFormat, h.Seq, before)
	case h.Descriptors > maxDescriptors:
		return h, nil, fmt.Errorf("%w: message %d: %d descriptors, want at most %d", ErrFormat, h.Seq, h.Descriptors, maxDescriptors)
	}
	h.BodyLen = int64(bodyLen)
	h.Before = Counts{Entries: int64(before[0]), Descriptors: int64(before[1]), Bytes: int64(before[2])}
	return h, m[headLen:], h.check(int64(len(m)) - headLen)
}

// check tells whether the parts of h fit each other; inline is the number of
// bytes that follow the header on the socket.
func (h header) check(inline int64) error {
	want := h.BodyLen
	if h.Memfd {
		want = 0
	}
	switch {
	case h.Type != typeData && h.Type != typeEnd:
		return fmt.Errorf("%w: message %d: unknown type %d", ErrFormat, h.Seq, h.Type)
	case inline != want:
		return fmt.Errorf("%w: message %d: %d bytes behind the header, want %d", ErrFormat, h.Seq, inline, want)
	case h.Memfd && h.Descriptors == 0:
		return fmt.Errorf("%w: message %d: a body in a memfd, and no descriptor", ErrFormat, h.Seq)
	case h.Type == typeEnd && (h.Entries != 0 || h.BodyLen != 0 || h.Descriptors != 0):
		return fmt.Errorf("%w: message %d: an END record that carries something", ErrFormat, h.Seq)
	case h.Type == typeData && h.Entries == 0:
		return fmt.Errorf("%w: message %d: no entries", ErrFormat, h.Seq)
	case int64(h.Entries) > h.BodyLen/entrySize && h.Entries > 0:
		return fmt.Errorf("%w: message %d: %d entries in a body of %d bytes", ErrFormat, h.Seq, h.Entries, h.BodyLen)
	case h.Entries > 1 && h.BodyLen > maxSharedBody:
		return fmt.Errorf("%w: message %d: %d entries in a body of %d bytes, want at most %d", ErrFormat, h.Seq, h.Entries, h.BodyLen, maxSharedBody)
	}
	return nil
}

// bodySize returns how many bytes of body e takes.
func (e *Entry) bodySize() int {
	return entrySize + len(e.Kind) + len(e.Name) + len(e.Payload)
}

// appendEntryHead appends what comes before e's payload.
func appendEntryHead(b []byte, e *Entry) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(entrySize+len(e.Kind)+len(e.Name)))
	b = le.AppendUint16(b, uint16(len(e.Kind)))
	b = le.AppendUint16(b, uint16(len(e.Name)))
	b = le.AppendUint16(b, uint16(len(e.Descriptors)))
	var flags uint16
	if e.Secret {
		flags |= flagSecret
	}
	b = le.AppendUint16(b, flags)
	b = le.AppendUint32(b, 0) // reserved
	b = le.AppendUint64(b, uint64(len(e.Payload)))
	b = append(b, e.Kind...)
	return append(b, e.Name...)
}

// A parsedEntry is an entry of a body, whose bytes it shares.
type parsedEntry struct {
	kind, name, payload []byte
	secret              bool
	descriptors         int
}

// parseBody appends the entries of the body of message h to entries.
func parseBody(h header, body []byte, maxPayload int64, entries []parsedEntry) ([]parsedEntry, Counts, error) {
	counts := Counts{Entries: int64(h.Entries)}
	for i := range h.Entries {
		e, size, err := parseEntry(body)
		if err == nil && int64(len(e.payload)) > maxPayload {
			err = fmt.Errorf("%w: a payload of %d bytes, want at most %d", ErrFormat, len(e.payload), maxPayload)
		}
		if err != nil {
			return nil, Counts{}, fmt.Errorf("message %d: entry %d: %w", h.Seq, i, err)
		}
		entries = append(entries, e)
		body = body[size:]
		counts.Descriptors += int64(e.descriptors)
		counts.Bytes += int64(len(e.payload))
	}
	if len(body) != 0 {
		return nil, Counts{}, fmt.Errorf("%w: message %d: %d bytes behind its last entry", ErrFormat, h.Seq, len(body))
	}
	attached := int64(h.Descriptors)
	if h.Memfd {
		attached--
	}
	if counts.Descriptors != attached {
		return nil, Counts{}, fmt.Errorf("%w: message %d: its entries have %d descriptors, and the header says %d", ErrFormat, h.Seq, counts.Descriptors, attached)
	}
	return entries, counts, nil
}

// parseEntry reads the first entry of b and returns its whole length.
func parseEntry(b []byte) (e parsedEntry, size int, err error) {
	if len(b) < entrySize {
		return e, 0, fmt.Errorf("%w: %d bytes, want at least %d", ErrFormat, len(b), entrySize)
	}
	le := binary.LittleEndian
	head, payload := uint64(le.Uint32(b)), le.Uint64(b[16:])
	kind, name := int(le.Uint16(b[4:])), int(le.Uint16(b[6:]))
	flags := le.Uint16(b[10:])
	e.descriptors = int(le.Uint16(b[8:]))
	switch {
	case kind > MaxName || name > MaxName:
		return e, 0, fmt.Errorf("%w: a kind of %d and a name of %d bytes, want at most %d", ErrFormat, kind, name, MaxName)
	case flags&^flagSecret != 0:
		return e, 0, fmt.Errorf("%w: unknown flags %#x", ErrFormat, flags&^flagSecret)
	case head < uint64(entrySize+kind+name) || head > min(maxEntryHead, uint64(len(b))):
		return e, 0, fmt.Errorf("%w: head length %d", ErrFormat, head)
	case payload > uint64(len(b))-head:
		return e, 0, fmt.Errorf("%w: a payload of %d bytes where %d are left", ErrFormat, payload, uint64(len(b))-head)
	}
	e.secret = flags&flagSecret != 0
	e.kind = b[entrySize:][:kind]
	e.name = b[entrySize+kind:][:name]
	size = int(head + payload)
	e.payload = b[head:size]
	return e, size, nil
}
