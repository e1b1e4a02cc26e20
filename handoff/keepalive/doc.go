// Package keepalive takes HTTP/1 connections out of a running http.Server
// without losing a byte, so that the next server can go on with them.
package keepalive
