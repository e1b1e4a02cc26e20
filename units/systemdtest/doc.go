// Package systemdtest boots a private, real systemd inside a Go test.
package systemdtest
