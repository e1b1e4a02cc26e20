// Package manager speaks to the service manager for a service: in the order of the
// calls, and so that a manager that doesn't read keeps no caller waiting.
//
// Both sides of a service use it. handoffd has a Manager, which also keeps a copy of
// the fd store with the service manager and forwards failure details of programs. A
// program on package handoff uses Extend, and the functions that announce a generation
// to handoffd, which is its service manager.
//
// See sd_notify(3) for all that is sent.
package manager
