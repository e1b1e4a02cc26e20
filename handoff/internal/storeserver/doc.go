// Package storeserver is the file descriptor store of generations: what
// FileDescriptorStoreMax= of systemd.service(5) is to a service, it is to them.
//
// It holds what generations store, knows who has what, drops what hangs up, and delivers
// what is stored to the generation that serves while that runs. A copy of everything
// goes to the store of the service manager, so that it outlives this process.
//
// One goroutine, the owner, calls all methods of a [Server].
package storeserver

// DefaultLimit is how many descriptors generations may store where nobody says so.
const DefaultLimit = 64
