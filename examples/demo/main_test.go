package main

import (
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	o := options{restarts: 2, clients: 4, rate: 200}
	r := measure(t, o)
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	for _, phase := range []string{"at rest", "restart 1", "restart 2"} {
		if n := r.Named(phase).Counts.Requests(); n == 0 {
			t.Errorf("phase %q has no requests", phase)
		}
	}

	var text strings.Builder
	if err := print(&text, r, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"at rest", "restart 2", "all restarts", "refused 0"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, text.String())
		}
	}
}
