package protocol

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
		want := Record{
			Version:    rapid.Uint32().Draw(t, "version"),
			Generation: rapid.Uint64().Draw(t, "generation"),
			Saved:      time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "saved"), 0),
			Unread:     rapid.SliceOf(rapid.Byte()).Draw(t, "unread"),
			Data:       rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		}
		got, err := ParseRecord(want.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != want.Version || got.Generation != want.Generation || !got.Saved.Equal(want.Saved) ||
			!bytes.Equal(got.Unread, want.Unread) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		// What is appended to unread must not overwrite data.
		_ = append(got.Unread, "more"...)
		if !bytes.Equal(got.Data, want.Data) {
			t.Error("unread and data overlap")
		}
	})
}

func TestRecordRefused(t *testing.T) {
	whole := Record{Unread: []byte("abc")}.Marshal()
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
		_, err := ParseRecord(c.b)
		if errors.Is(err, ErrRecordFormat) != c.newer || errors.Is(err, ErrRecord) == c.newer {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(Record{Version: 1, Generation: 2, Saved: time.Unix(3, 0), Unread: []byte("u"), Data: []byte("d")}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		again := r.Marshal()
		copy(again[1:4], b[1:4]) // reserved
		if !bytes.Equal(again, b) {
			t.Errorf("%x was read and written as %x", b, again)
		}
	})
}
