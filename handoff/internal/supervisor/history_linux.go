package supervisor

import (
	"sync"
	"time"
)

// A history is what is known of the programs that were this process, one after the
// other, since the service has started.
type history struct {
	replacing sync.Mutex // held while this program is being replaced
	successor *Successor // what Run goes on with; nil: it starts the service

	since time.Time // of the service's start
	count uint64    // how often the program was replaced since
}

// A historyState is a history in the saved state.
type historyState struct {
	Since   time.Time `json:"since"`
	Reexecs uint64    `json:"reexecs,omitempty"`
}

func (h *history) snapshot() historyState { return historyState{Since: h.since, Reexecs: h.count} }

// restore goes on with the history of the program that this one has replaced.
func (h *history) restore(from *Successor) {
	st := from.st.historyState
	h.successor, h.since, h.count = from, st.Since, st.Reexecs+1
}
