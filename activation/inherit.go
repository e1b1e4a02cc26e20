package activation

import (
	"os"
)

// firstFD is SD_LISTEN_FDS_START.
const firstFD = 3

// Options changes where Inherit looks. The zero value is right for a service;
// tests set the fields to hand descriptors to code under test.
type Options struct {
	// Env holds the variables that Inherit reads; it deletes from it what it
	// would unset in the process's environment. nil means that environment.
	Env map[string]string

	// FirstFD is the number of the first passed descriptor. 0 means 3, as
	// sd_listen_fds(3) has it.
	FirstFD int
}

// Inherit takes over the descriptors that the manager passed to this process, by
// the protocol of sd_listen_fds(3). It is [Options.Inherit] with zero Options.
// Call it once, early in main.
func Inherit() (*Set, error) {
	return Options{}.Inherit()
}

// Inherit takes over the passed descriptors: it reads LISTEN_PID, LISTEN_PIDFDID,
// LISTEN_FDS and LISTEN_FDNAMES, sets close-on-exec on every descriptor, and
// O_NONBLOCK on every socket. The variables are unset, on errors too, so that no
// child takes them for its own and a second Inherit finds nothing.
//
// A process that was not activated, or that sees variables meant for another
// process, gets an empty Set and no error. So does every process elsewhere than
// on Linux.
//
// The Set is never nil, and it owns the descriptors until they are taken; the
// caller closes it. It can be used even with an error:
//   - ErrVariable: a variable makes no sense, so it is not known what was
//     passed. The Set is empty, and its Listen repeats the error rather than
//     open a second socket beside the manager's.
//   - ErrNames: the Set holds all descriptors, under the name Unknown.
//   - ErrNotOpen: the Set holds all descriptors but those that the error lists.
func (o Options) Inherit() (*Set, error) {
	return o.inherit()
}

// lookup and unset work on Env, or on the process's environment.

func (o Options) lookup(key string) (string, bool) {
	if o.Env == nil {
		return os.LookupEnv(key)
	}
	value, ok := o.Env[key]
	return value, ok
}

func (o Options) unset(key string) {
	if o.Env == nil {
		os.Unsetenv(key) // fails only for a key that is no key
		return
	}
	delete(o.Env, key)
}
