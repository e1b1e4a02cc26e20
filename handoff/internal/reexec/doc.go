// Package reexec replaces this program by another one in the same process: it writes
// down a state, tries the new program with it as a child, and executes it with the
// descriptors left open. It knows nothing of what is in the state.
//
// A state is a [Document]: a struct that embeds a [Header], and the states that the parts
// of the program declare beside their own fields. It is one JSON object, so all keys of
// all parts must differ. Descriptors go in one list, [Files], and elsewhere the document
// holds their places. The program before calls
//
//	files := new(reexec.Files)
//	document := snapshot(files) // files.Duplicate(f) is the place of f
//	version, err := reexec.Try(ctx, runner, image, document, files, env)
//	// and, when nothing changes any more, with another snapshot:
//	err = reexec.Replace(image, document, files, env)
//
// and the program after it
//
//	successor, err := reexec.Inherit(document)
//	f := successor.File(document.Place)
//
// # Versions
//
// The new program may be older or newer than the one before it: a package is upgraded,
// and downgraded again. So both read what the other one writes:
//
//   - A new field gets a new key, is left out where it says nothing (omitempty), and means
//     the same as before where it is missing. A program that does not know the key ignores
//     it. A descriptor that only such a key refers to is closed.
//   - No key changes its meaning, and none is used again for something else.
//   - The version is raised only where a program of before would misread the state, that
//     is, do harm by ignoring what it does not know. Then the trial fails, the program
//     before goes on, and the service has to be restarted.
//
// Programs from before this policy (no release is among them) refuse every key that they
// do not know; as long as none is written, they read the state.
//
// testdata/states of package supervisor has states that earlier programs have written.
// Each release adds its own, and a test reads all of them.
package reexec
