package resource

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

func entry(version uint32, generation uint64, age time.Duration) protocol.Entry {
	return protocol.Entry{Kind: protocol.KindState, Name: "s", Record: protocol.Record{Version: version, Generation: generation, Saved: time.Now().Add(-age)}}
}

func testState(unreadable Unreadable) *State {
	return NewState(testEnv(), "s", StateFuncs{
		Version:    2,
		Load:       func(context.Context, uint32, []byte) error { return nil },
		Save:       func(context.Context) ([]byte, error) { return []byte("saved"), nil },
		Unreadable: unreadable,
	}, time.Hour)
}

// TestJudgeState: of several states the latest that can be read is taken, once.
func TestJudgeState(t *testing.T) {
	s := testState(KeepUnreadable)
	waiting := []protocol.Entry{entry(2, 1, 0), entry(2, 2, 0), entry(3, 3, 0), entry(3, 4, 2*time.Hour)}
	for _, e := range waiting {
		s.Preview(e)
	}
	judge := func(want ...protocol.Fate) {
		t.Helper()
		for i, e := range waiting {
			if got := s.Judge(e); got != want[i] {
				t.Errorf("version %d of generation %d: %v, want %v", e.Version, e.Generation, got, want[i])
			}
		}
	}
	judge(protocol.Drop, protocol.Take, protocol.Keep, protocol.Drop)
	if _, ok, _ := s.Save(t.Context()); ok {
		t.Error("saved before it was loaded, or owned")
	}
	if err := s.Adopt(t.Context(), waiting[1], nil); err != nil {
		t.Fatal(err)
	}
	judge(protocol.Drop, protocol.Drop, protocol.Keep, protocol.Drop)
	if e, ok, err := s.Save(t.Context()); !ok || err != nil || e.Name != "s" || e.Kind != protocol.KindState {
		t.Errorf("saved %+v, %v, %v", e, ok, err)
	}
	refused := s.env.Report.Count.Refused.Load()
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Judge(entry(2, 5, 0)); got != protocol.Drop {
		t.Errorf("what a successor made of it: %v", got)
	}
	if n := s.env.Report.Count.Refused.Load(); n != refused {
		t.Error("what comes back of it was counted as refused")
	}
	if got := testState(DropUnreadable).Judge(entry(3, 3, 0)); got != protocol.Drop {
		t.Errorf("one that is to be dropped: %v", got)
	}
}

// TestPromised: a generation does not replace one whose state it will not be able to
// read.
func TestPromised(t *testing.T) {
	promise := func(version uint32, generation uint64) protocol.Entry {
		e := entry(version, generation, 0)
		e.Kind = protocol.KindVersion
		return e
	}
	for what, c := range map[string]struct {
		unreadable Unreadable
		promises   [][]protocol.Entry
		waits      []protocol.Entry
		want       error
	}{
		"none":                        {},
		"one that can be read":        {promises: [][]protocol.Entry{{promise(2, 5)}}},
		"one that cannot":             {promises: [][]protocol.Entry{{promise(3, 5)}}, want: report.ErrStateVersion},
		"the program can do without":  {unreadable: KeepUnreadable, promises: [][]protocol.Entry{{promise(3, 5)}}},
		"it has been saved by now":    {promises: [][]protocol.Entry{{promise(3, 5)}}, waits: []protocol.Entry{entry(3, 5, 0)}},
		"an earlier one waits":        {promises: [][]protocol.Entry{{promise(3, 5)}}, waits: []protocol.Entry{entry(2, 4, 0)}, want: report.ErrStateVersion},
		"the latest manifest counts":  {promises: [][]protocol.Entry{{promise(2, 4)}, {promise(3, 5)}}, want: report.ErrStateVersion},
		"the latest says nothing":     {promises: [][]protocol.Entry{{promise(3, 4)}, {}}},
		"it is that of another state": {promises: [][]protocol.Entry{{{Kind: protocol.KindVersion, Name: "other", Record: protocol.Record{Version: 3}}}}},
	} {
		s := testState(c.unreadable)
		for _, entries := range c.promises {
			if err := s.Promised(entries); err != nil {
				t.Error(err)
			}
		}
		for _, e := range c.waits {
			s.Preview(e)
		}
		if err := s.CheckPromised(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}
