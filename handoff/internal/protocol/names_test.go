package protocol

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestUniqueName: no name comes twice, and the manager takes each.
func TestUniqueName(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		name := UniqueName(ParcelPrefix)
		random, ok := strings.CutPrefix(name, ParcelPrefix)
		if !ok || len(random) != 32 || strings.Trim(random, "0123456789abcdef") != "" {
			t.Fatalf("the name %q", name)
		}
		if seen[random] {
			t.Fatalf("%q comes twice", name)
		}
		seen[random] = true
	}
}

// TestLongRecord: what follows the head may be longer than it.
func TestLongRecord(t *testing.T) {
	want := Record{Version: 1, Generation: 2, Saved: time.Unix(3, 0), Unread: bytes.Repeat([]byte("u"), 1000), Data: bytes.Repeat([]byte("d"), 3000)}
	got, err := ParseRecord(want.Marshal())
	if err != nil || !bytes.Equal(got.Unread, want.Unread) || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("%d and %d bytes come back, %v", len(got.Unread), len(got.Data), err)
	}
}
