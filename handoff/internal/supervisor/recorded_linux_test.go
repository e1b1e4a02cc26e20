package supervisor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestRecordedStates: what an earlier handoffd has left is read, and written back as it
// was, but for the order of the keys. Each was recorded while generation 1 drained, 2
// served, and two calls waited for 3.
func TestRecordedStates(t *testing.T) {
	paths, err := filepath.Glob("testdata/states/*.json")
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d states were recorded, %v", len(paths), err)
	}
	for _, path := range paths {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := parseState(want)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, err := st.encode()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got, want := sortKeys(t, got), sortKeys(t, want); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
		}
	}
}

// sortKeys returns a document with its keys in order, and all else as it was.
func sortKeys(t *testing.T, document []byte) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		document, err = json.Marshal(v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return document
}
