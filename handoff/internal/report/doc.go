// Package report says what became of things in one generation: the errors that a
// caller handles, what the program is told while the service goes on, and what is
// counted. It decides nothing.
package report
