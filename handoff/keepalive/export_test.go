package keepalive

import "net/http"

// What the tests from outside need: only they can import package handoff, which
// imports this one.
var (
	Helpers     = helpers
	Echo        = echo
	StartLoadBy = startLoadBy
	Progress    = (*load).progress
	Check       = (*load).check
)

// TrackerOf returns the Tracker by which r came.
func TrackerOf(r *http.Request) *Tracker {
	return r.Context().Value(connKey{}).(*conn).t
}
