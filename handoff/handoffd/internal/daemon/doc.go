// Package daemon is what "handoffd run" does: it runs a supervisor, passes signals
// and the control socket's requests on to it, writes the log and the files that
// the command line names, and replaces itself. Package main reads the flags.
// See handoff/README.md for the rooms around it.
package daemon
