// Package scgi is the server's side of SCGI, the protocol by which a web server in
// front (nginx's scgi_pass, Apache's mod_proxy_scgi, lighttpd) asks a program for an
// answer: https://python.ca/scgi/protocol.txt.
//
// A connection carries one request: a netstring that holds names and values, each
// ended by NUL, and then a body of CONTENT_LENGTH bytes,
//
//	70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00...,What is the answer to life?
//
// and one answer, in the form of CGI (RFC 3875, section 6), which ends with the
// connection.
package scgi
