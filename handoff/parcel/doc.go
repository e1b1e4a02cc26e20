// Package parcel carries descriptors, and the bytes that say what they are,
// inside one Unix socket.
package parcel
