// Package protocol is what two generations, and handoffd between them, agree on:
// the names of entries in the fd store, the kinds and payloads of entries in a
// parcel, and what a generation tells handoffd beside the protocols of systemd. The
// doc comment of package handoff describes the same for peers in other languages.
package protocol

import (
	"crypto/rand"
	"encoding/hex"
)

// Names of entries in the fd store. Names are public (systemd-analyze fdstore), so
// nothing secret is in them.
const (
	Prefix         = "handoff."           // begins all of them
	ListenPrefix   = Prefix + "listen."   // and the listener's name
	PacketPrefix   = Prefix + "packet."   // and the packet socket's name
	ParcelPrefix   = Prefix + "parcel."   // see UniqueName
	ManifestPrefix = Prefix + "manifest." // see UniqueName
)

// UniqueName returns a name in the fd store that was never used before, because a
// removal that arrives late must not hit another entry.
func UniqueName(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}

// The kinds of entries in a parcel.
const (
	KindGeneration = "generation" // begins every parcel
	KindHTTP       = "http"       // an HTTP/1 connection; named by its listener
	KindConn       = "conn"       // a Carrier's connection; named by the Carrier
	KindState      = "state"      // a saved state
	KindVersion    = "version"    // which version of a state will be saved
	KindKeys       = "keys"       // the ticket keys for TLS
)

// GenerationEnv is the environment variable that tells a generation its number.
const GenerationEnv = "HANDOFF_GENERATION"

// Keys of sd_notify(3) assignments by which a generation tells handoffd about
// itself, beside parcel.Resumable. systemd takes no notice of keys that it does not
// know, and leaves keys that begin with X_ to others.
const (
	KeyVersion = "X_HANDOFF_VERSION" // the program's version
	KeyCarried = "X_HANDOFF_CARRIED" // how many connections it took over from its predecessor
)

// An Entry is what a parcel holds, without its descriptors.
type Entry struct {
	Kind, Name string
	Record
}

// A Fate is what becomes of an entry that came to this generation.
type Fate int

const (
	Drop Fate = iota // it is lost, and was reported
	Take             // this generation goes on with it
	Keep             // it waits in the store for a later generation
)
