package storeserver

import (
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestSerials(t *testing.T) {
	leaktest.Check(t)
	m, err := openSerials(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.file.Close()
	m.generation = 7
	first, err := m.copyName(&entry{name: "http"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := openSerials(m.file)
	if err != nil {
		t.Fatal(err)
	}
	if again.generation != 7 {
		t.Errorf("the last generation is %d, want 7", again.generation)
	}
	if again.name != m.name || again.name == 0 {
		t.Errorf("the last name is %d, want %d", again.name, m.name)
	}
	second, err := again.copyName(&entry{name: "http", polled: true})
	if err != nil || second == first {
		t.Errorf("the names are %q and %q, %v", first, second, err)
	}
	for name, polled := range map[string]bool{first: false, second: true} {
		if own, p, ok := parseCopyName(name); !ok || own != "http" || p != polled {
			t.Errorf("%q is of %q, polled: %t", name, own, p)
		}
	}
	if name, _, ok := parseCopyName("handoffd.entry.7.a.b:p"); !ok || name != "a.b:p" {
		t.Errorf("a name with a dot is %q", name)
	}
	if _, err := m.copyName(&entry{name: string(make([]byte, 255))}); err == nil {
		t.Error("a name that is too long is taken")
	}
	if _, err := openSerials(fdtest.Memfd(t)); err == nil {
		t.Error("an empty memory is taken")
	}
}
