package handoff

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := record{
			version:    rapid.Uint32().Draw(t, "version"),
			generation: rapid.Uint64().Draw(t, "generation"),
			saved:      time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "saved"), 0),
			unread:     rapid.SliceOf(rapid.Byte()).Draw(t, "unread"),
			data:       rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		}
		got, err := parseRecord(want.marshal())
		if err != nil {
			t.Fatal(err)
		}
		if got.version != want.version || got.generation != want.generation || !got.saved.Equal(want.saved) ||
			!bytes.Equal(got.unread, want.unread) || !bytes.Equal(got.data, want.data) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		// What is appended to unread must not overwrite data.
		_ = append(got.unread, "more"...)
		if !bytes.Equal(got.data, want.data) {
			t.Error("unread and data overlap")
		}
	})
}

func TestRecordRefused(t *testing.T) {
	whole := record{unread: []byte("abc")}.marshal()
	newer := slices.Clone(whole)
	newer[0] = 2
	for what, c := range map[string]struct {
		b     []byte
		newer bool
	}{
		"empty":             {nil, false},
		"short":             {whole[:recordHead-1], false},
		"unread is missing": {whole[:recordHead+2], false},
		"newer":             {newer, true},
	} {
		_, err := parseRecord(c.b)
		if errors.Is(err, errRecordFormat) != c.newer || errors.Is(err, errRecord) == c.newer {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(record{version: 1, generation: 2, saved: time.Unix(3, 0), unread: []byte("u"), data: []byte("d")}.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again := r.marshal()
		copy(again[1:4], b[1:4]) // reserved
		if !bytes.Equal(again, b) {
			t.Errorf("%x was read and written as %x", b, again)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(newKeyring().marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		k := &keyring{keys: keys}
		if !bytes.Equal(k.marshal(), b) {
			t.Errorf("%x was read and written as %x", b, k.marshal())
		}
	})
}
