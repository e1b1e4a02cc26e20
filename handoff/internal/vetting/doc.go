// Package vetting holds a generation that starts to what makes it ready: it says so,
// if it is one that does; it waits for clients on the sockets that it was given; and it
// answers a probe, if there is one. The checks come in this order, and each looks for
// the next fault only where the one before found none.
//
// What this process may not see is no fault. It is told at once, and is in the Outcome.
package vetting
