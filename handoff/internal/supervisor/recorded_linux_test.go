package supervisor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
)

// TestRecordedStates reads states that earlier handoffds have left, and writes each back
// as it was, but for the order of the keys. Those called full are of the supervisor that
// populated makes, and all others were recorded on a running handoffd: a script in its
// place copied the state that it was tried with. Together they have every field.
func TestRecordedStates(t *testing.T) {
	paths, err := filepath.Glob("testdata/states/*.json")
	if err != nil || len(paths) < 6 {
		t.Fatalf("%d states were recorded, %v", len(paths), err)
	}
	set := make(map[string]bool)
	for _, path := range paths {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st := new(state)
		if err := reexec.Unmarshal(want, st); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, err := reexec.Marshal(st)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got, want := sortKeys(t, got), sortKeys(t, want); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
		}
		m, err := generation.Restore(generation.Options{}, st.Machine)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got, err := m.Snapshot(); err != nil || !bytes.Equal(got, st.Machine) {
			t.Errorf("%s: %v, the machine is\n%s\nwant\n%s", path, err, got, st.Machine)
		}
		fields(reflect.ValueOf(*st), "", set)
	}
	expectAllSet(t, set)
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
