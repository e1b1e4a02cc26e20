// Package fdstore exchanges with the fd store of the service manager what goes from one
// generation to the next: parcels out (Outgoing), parcels in (Takeover), the manifest, and
// what is to change in the store once this generation owns it. It knows entries and no
// kinds: a Registry decides what becomes of each.
package fdstore
