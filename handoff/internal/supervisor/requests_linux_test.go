package supervisor

import (
	"slices"
	"testing"
)

// TestRequests: an answer finds who waits for it, once, also in the next program.
func TestRequests(t *testing.T) {
	r := newRequests()
	first, reply := r.add()
	second, _ := r.add()
	if first == second || !slices.Equal(r.pending(), []uint64{first, second}) {
		t.Errorf("requests %d and %d, pending %d", first, second, r.pending())
	}
	r.take(first) <- verdictOf(Undone, "reason")
	if got := <-reply; got.Reason != "reason" {
		t.Errorf("the answer is %+v", got)
	}
	if r.take(first) != nil {
		t.Error("it is answered twice")
	}
	r.words = lastWords{Gen: 3, Lines: []string{"bye"}}
	r = restoreRequests(r.snapshot())
	if third, _ := r.add(); third <= second || r.take(second) == nil {
		t.Errorf("request %d follows %d, or that is forgotten", third, second)
	}
	if got := r.output(3); !slices.Equal(got, []string{"bye"}) || r.output(2) != nil {
		t.Errorf("the last words of generation 3 are %q", got)
	}
}
