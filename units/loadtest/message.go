package loadtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// message makes the requests of one run. It is not changed once made.
type message struct {
	workload  Workload
	run       uint64 // tells this run's IDs and bodies from any other's
	get, post []byte // the header up to the value of X-Request-Id
	end       []byte // the rest of the header, after a POST's Content-Length
	serverTLS string // the host to ask for in a TLS handshake
	secure    bool
}

// newMessage prepares the requests for u. The options' address must be set.
func newMessage(u *url.URL, o Options) (*message, error) {
	m := &message{
		run:       rand.Uint64(),
		secure:    u.Scheme == "https",
		serverTLS: u.Hostname(),
		workload: Workload{
			URL: o.URL, Network: o.Network, Address: o.Address,
			Clients: o.Clients, Rate: o.Rate, KeepAlive: o.KeepAlive,
			PostEvery: o.PostEvery, BodySize: o.BodySize, TimeoutNS: int64(o.Timeout),
		},
	}
	head := " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: holdfast-loadtest\r\nX-Request-Id: "
	m.get = []byte("GET" + head)
	m.post = []byte("POST" + head)
	var end bytes.Buffer
	if !o.KeepAlive {
		end.WriteString("\r\nConnection: close")
	}
	for name, values := range o.Header {
		if err := checkHeader(name, values); err != nil {
			return nil, err
		}
		for _, v := range values {
			end.WriteString("\r\n" + name + ": " + v)
		}
	}
	end.WriteString("\r\n\r\n")
	m.end = end.Bytes()
	return m, nil
}

// checkHeader refuses a header that would break the request, or that this
// client sets itself.
func checkHeader(name string, values []string) error {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Host", "User-Agent", "X-Request-Id", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade":
		return fmt.Errorf("loadtest: option Header: %s cannot be set", name)
	}
	isToken := func(r rune) bool {
		return r > ' ' && r < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isToken(r) }) {
		return fmt.Errorf("loadtest: option Header: %q is not the name of a header", name)
	}
	for _, v := range values {
		if strings.ContainsAny(v, "\r\n\x00") {
			return fmt.Errorf("loadtest: option Header: the value of %s, %q, breaks the line", name, v)
		}
	}
	return nil
}

// writer makes requests for one client; what it returns is valid until the next.
type writer struct {
	msg    *message
	buf    []byte
	random rand.PCG
}

// request makes request number seq, and the bytes to send for it.
func (w *writer) request(seq int64) (Request, []byte) {
	m := w.msg
	r := Request{Method: "GET"}
	head := m.get
	size := 0
	if every := int64(m.workload.PostEvery); every > 0 && seq%every == every-1 {
		r.Method, head, size = "POST", m.post, m.workload.BodySize
	}
	w.buf = append(w.buf[:0], head...)
	at := len(w.buf)
	w.buf = strconv.AppendUint(w.buf, m.run, 36)
	w.buf = append(w.buf, '-')
	w.buf = strconv.AppendInt(w.buf, seq, 10)
	r.ID = string(w.buf[at:])
	if r.Method == "POST" {
		w.buf = append(w.buf, "\r\nContent-Type: application/octet-stream\r\nContent-Length: "...)
		w.buf = strconv.AppendInt(w.buf, int64(size), 10)
	}
	w.buf = append(w.buf, m.end...)
	if size > 0 {
		at = len(w.buf)
		w.fill(seq, size)
		r.Body = w.buf[at:]
	}
	return r, w.buf
}

// fill appends size bytes of text that belong to request seq of this run alone.
func (w *writer) fill(seq int64, size int) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	w.random.Seed(w.msg.run, uint64(seq))
	var bits uint64
	for i := range size {
		if i%10 == 0 { // ten letters of six bits each
			bits = w.random.Uint64()
		}
		w.buf = append(w.buf, letters[bits&63])
		bits >>= 6
	}
}
