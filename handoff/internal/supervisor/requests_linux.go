package supervisor

import (
	"maps"
	"slices"
)

// requests are those that wait for a verdict, and what the last one was about. They
// belong to Run's goroutine.
type requests struct {
	waiting map[uint64]chan Result
	last    uint64 // the number that was given last
	verdict Result // the last one on a reload
	words   lastWords
}

// lastWords are the last lines of the generation that was forgotten last.
type lastWords struct {
	Gen   uint64   `json:"gen,omitempty"`
	Lines []string `json:"lines,omitempty"`
}

// A requestsState is what requests leave to those of the next program.
type requestsState struct {
	Callers []uint64  `json:"callers,omitempty"` // who wait for an answer
	Caller  uint64    `json:"caller,omitempty"`  // the last number given to one
	Last    lastWords `json:"last"`
	Verdict Result    `json:"verdict"`
}

func newRequests() *requests { return &requests{waiting: make(map[uint64]chan Result)} }

// add returns the number of a new one, and where its answer comes.
func (r *requests) add() (number uint64, reply chan Result) {
	r.last++
	reply = make(chan Result, 1)
	r.waiting[r.last] = reply
	return r.last, reply
}

// take returns where an answer is to go, and forgets the request; nil where nobody
// waits any more.
func (r *requests) take(number uint64) chan<- Result {
	reply := r.waiting[number]
	delete(r.waiting, number)
	return reply
}

// pending lists the requests without an answer.
func (r *requests) pending() []uint64 { return slices.Sorted(maps.Keys(r.waiting)) }

// output returns the last lines of a generation that is gone, if they are known.
func (r *requests) output(gen uint64) []string {
	if r.words.Gen == gen {
		return r.words.Lines
	}
	return nil
}

func (r *requests) snapshot() requestsState {
	return requestsState{Callers: r.pending(), Caller: r.last, Last: r.words, Verdict: r.verdict}
}

// restoreRequests returns those of a snapshot. Who asked finds the answer by the number.
func restoreRequests(st requestsState) *requests {
	r := newRequests()
	r.last, r.words, r.verdict = st.Caller, st.Last, st.Verdict
	for _, number := range st.Callers {
		r.waiting[number] = make(chan Result, 1)
	}
	return r
}
