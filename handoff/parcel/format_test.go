package parcel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// encodeMessage returns a message with an inline body, as a writer makes it.
func encodeMessage(h header, entries ...Entry) []byte {
	var body []byte
	for i := range entries {
		body = append(appendEntryHead(body, &entries[i]), entries[i].Payload...)
		h.Descriptors += len(entries[i].Descriptors)
	}
	h.Type, h.Entries, h.BodyLen = typeData, len(entries), int64(len(body))
	return append(appendHeader(nil, h), body...)
}

// decodeMessage reads a message with an inline body.
func decodeMessage(m []byte, maxPayload int64) (header, []parsedEntry, Counts, error) {
	h, body, err := parseMessage(m, maxPayload)
	if err != nil || h.Memfd || h.Type == typeEnd {
		return h, nil, Counts{}, err
	}
	entries, counts, err := parseBody(h, body, maxPayload, nil)
	return h, entries, counts, err
}

// TestHeaderLayout pins the bytes that doc.go describes.
func TestHeaderLayout(t *testing.T) {
	m := encodeMessage(header{Seq: 2, Before: Counts{3, 4, 5}}, Entry{Kind: "kd", Name: "nam", Payload: []byte("pa"), Secret: true})
	want := "HFPARCEL" + "\x01\x00" + "\x00\x00" + "\x01" + "\x00" + "\x00\x00" + "\x40\x00\x00\x00" + "\x01\x00\x00\x00" +
		"\x1f\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" +
		"\x03\x00\x00\x00\x00\x00\x00\x00" + "\x04\x00\x00\x00\x00\x00\x00\x00" + "\x05\x00\x00\x00\x00\x00\x00\x00" +
		"\x1d\x00\x00\x00" + "\x02\x00" + "\x03\x00" + "\x00\x00" + "\x01\x00" + "\x00\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" +
		"kd" + "nam" + "pa"
	if string(m) != want {
		t.Errorf("the message is\n%q, want\n%q", m, want)
	}
}

// TestParseRefuses breaks a good message in one place at a time.
func TestParseRefuses(t *testing.T) {
	good := encodeMessage(header{Seq: 7, Before: Counts{1, 2, 3}}, Entry{Kind: "a", Name: "bc", Payload: []byte("def")}, Entry{Name: "second"})
	if _, entries, _, err := decodeMessage(good, 100); err != nil || len(entries) != 2 {
		t.Fatalf("the good message: %d entries, %v", len(entries), err)
	}
	le := binary.LittleEndian
	for _, c := range []struct {
		name string
		want error
		edit func(m []byte) []byte
	}{
		{"empty", ErrFormat, func(m []byte) []byte { return nil }},
		{"magic", ErrFormat, func(m []byte) []byte { m[0] = 'h'; return m }},
		{"magic alone", ErrFormat, func(m []byte) []byte { return m[:8] }},
		{"half a header", ErrFormat, func(m []byte) []byte { return m[:63] }},
		{"newer version", ErrVersion, func(m []byte) []byte { m[8] = 2; return m }},
		{"newer version, short", ErrVersion, func(m []byte) []byte { m[8] = 2; return m[:12] }},
		{"version 0", ErrVersion, func(m []byte) []byte { m[8] = 0; return m }},
		{"type", ErrFormat, func(m []byte) []byte { m[12] = 3; return m }},
		{"flags", ErrFormat, func(m []byte) []byte { m[13] = 2; return m }},
		{"descriptors", ErrFormat, func(m []byte) []byte { le.PutUint16(m[14:], 254); return m }},
		{"descriptors of no entry", ErrFormat, func(m []byte) []byte { m[14] = 1; return m }},
		{"header length short", ErrFormat, func(m []byte) []byte { m[16] = 63; return m }},
		{"header length long", ErrFormat, func(m []byte) []byte { le.PutUint32(m[16:], uint32(len(m)+1)); return m }},
		{"no entries", ErrFormat, func(m []byte) []byte { m[20] = 0; return m }},
		{"entries", ErrFormat, func(m []byte) []byte { m[20] = 3; return m }},
		{"many entries", ErrFormat, func(m []byte) []byte { le.PutUint32(m[20:], 1<<31); return m }},
		{"body length", ErrFormat, func(m []byte) []byte { m[24]++; return m }},
		{"huge body", ErrFormat, func(m []byte) []byte { le.PutUint64(m[24:], 1<<63); return m }},
		{"sequence number", ErrFormat, func(m []byte) []byte { m[32] = 0; return m }},
		{"counts", ErrFormat, func(m []byte) []byte { m[47] = 0xff; return m }},
		{"memfd without descriptor", ErrFormat, func(m []byte) []byte { m[13] = 1; return m[:64] }},
		{"memfd and a body", ErrFormat, func(m []byte) []byte { m[13], m[14] = 1, 1; return m }},
		{"END with a body", ErrFormat, func(m []byte) []byte { m[12] = 2; return m }},
		{"entry head short", ErrFormat, func(m []byte) []byte { m[64] = 26; return m }},
		{"entry head long", ErrFormat, func(m []byte) []byte { le.PutUint32(m[64:], 1<<30); return m }},
		{"kind", ErrFormat, func(m []byte) []byte { le.PutUint16(m[68:], 256); return m }},
		{"name", ErrFormat, func(m []byte) []byte { le.PutUint16(m[70:], 256); return m }},
		{"entry descriptors", ErrFormat, func(m []byte) []byte { m[72] = 1; return m }},
		{"entry flags", ErrFormat, func(m []byte) []byte { m[74] = 2; return m }},
		{"payload", ErrFormat, func(m []byte) []byte { m[80] = 200; return m }},
		{"huge payload", ErrFormat, func(m []byte) []byte { le.PutUint64(m[80:], 1<<64-1); return m }},
		{"cut", ErrFormat, func(m []byte) []byte { return m[:len(m)-1] }},
		{"more", ErrFormat, func(m []byte) []byte { return append(m, 0) }},
	} {
		m := c.edit(bytes.Clone(good))
		if _, _, _, err := decodeMessage(m, 100); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, _, _, err := decodeMessage(good, 2); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "entry 0") {
		t.Errorf("a payload above the limit: %v", err)
	}
}

// TestParseSkips has the fields that a later minor version may add.
func TestParseSkips(t *testing.T) {
	le := binary.LittleEndian
	m := encodeMessage(header{Seq: 1}, Entry{Kind: "k", Name: "n", Payload: []byte("p")})
	head, body := bytes.Clone(m[:headerSize]), bytes.Clone(m[headerSize:])
	head[10] = 9 // minor version
	le.PutUint32(head[16:], headerSize+5)
	le.PutUint32(body, uint32(entrySize+2+3))
	le.PutUint32(body[12:], 4711) // reserved
	body = append(append(body[:entrySize+2:entrySize+2], "new"...), body[entrySize+2:]...)
	le.PutUint64(head[24:], uint64(len(body)))
	later := append(append(head, "later"...), body...)
	_, entries, _, err := decodeMessage(later, 100)
	if err != nil || len(entries) != 1 || string(entries[0].kind) != "k" || string(entries[0].name) != "n" || string(entries[0].payload) != "p" {
		t.Fatalf("%+v, %v", entries, err)
	}
}

// TestRoundTrip puts random entries into a message and reads them again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(-1, -1, MaxName)
		in := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Entry {
			return Entry{Kind: text.Draw(t, "kind"), Name: text.Draw(t, "name"), Secret: rapid.Bool().Draw(t, "secret"), Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload")}
		}), 1, 20).Draw(t, "entries")
		before := Counts{rapid.Int64Range(0, 1<<60).Draw(t, "entries before"), rapid.Int64Range(0, 1<<60).Draw(t, "descriptors before"), rapid.Int64Range(0, 1<<60).Draw(t, "bytes before")}
		m := encodeMessage(header{Seq: rapid.Uint64Min(1).Draw(t, "seq"), Before: before}, in...)
		h, out, counts, err := decodeMessage(m, DefaultMaxPayload)
		if err != nil || h.Before != before || counts.Entries != int64(len(in)) || len(out) != len(in) {
			t.Fatalf("%d entries of %d, %v", len(out), len(in), err)
		}
		for i, e := range out {
			if string(e.kind) != in[i].Kind || string(e.name) != in[i].Name || e.secret != in[i].Secret || !bytes.Equal(e.payload, in[i].Payload) {
				t.Fatalf("entry %d: %+v became %+v", i, in[i], e)
			}
		}
		cut := rapid.IntRange(0, len(m)-1).Draw(t, "cut")
		if _, _, _, err := decodeMessage(m[:cut], DefaultMaxPayload); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d bytes of %d: %v", cut, len(m), err)
		}
	})
}

// FuzzMessage parses anything, and what it takes it must write alike.
func FuzzMessage(f *testing.F) {
	f.Add(encodeMessage(header{Seq: 1}, Entry{Kind: "conn", Name: "echo", Payload: []byte("state")}))
	f.Add(encodeMessage(header{Seq: 2, Before: Counts{1, 0, 5}}, Entry{}, Entry{Name: "second", Secret: true}))
	f.Add(appendHeader(nil, header{Type: typeEnd, Seq: 3, Before: Counts{3, 0, 5}}))
	f.Add(appendHeader(nil, header{Type: typeData, Memfd: true, Descriptors: 1, Entries: 1, BodyLen: 24, Seq: 1}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, m []byte) {
		const maxPayload = 1 << 16
		h, parsed, counts, err := decodeMessage(m, maxPayload)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion) {
				t.Fatalf("neither ErrFormat nor ErrVersion: %v", err)
			}
			return
		}
		if h.Memfd || h.Type == typeEnd {
			return
		}
		entries := make([]Entry, len(parsed))
		var total Counts
		for i, e := range parsed {
			entries[i] = Entry{Kind: string(e.kind), Name: string(e.name), Payload: e.payload, Secret: e.secret}
			total = total.plus(Counts{1, int64(e.descriptors), int64(len(e.payload))})
		}
		if total != counts {
			t.Fatalf("counts are %+v, want %+v", counts, total)
		}
		if counts.Descriptors > 0 {
			return // encodeMessage takes them from entries
		}
		h.Descriptors = 0
		again, out, _, err := decodeMessage(encodeMessage(h, entries...), maxPayload)
		if err != nil || again.Seq != h.Seq || again.Before != h.Before || len(out) != len(parsed) {
			t.Fatalf("written again it is %+v with %d entries, %v; it was %+v with %d", again, len(out), err, h, len(parsed))
		}
	})
}
