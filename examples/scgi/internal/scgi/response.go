package scgi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Serve reads a request from conn and has h answer it. It returns when the answer
// is written; the caller closes conn, which ends the answer. It sets no deadlines.
//
// A request that is malformed is answered with status 400. The error is that of
// ReadRequest, or of the writing; io.EOF is a connection without a request.
func Serve(conn io.ReadWriter, h http.Handler) error {
	w := &response{out: bufio.NewWriter(conn), header: make(http.Header)}
	req, err := ReadRequest(bufio.NewReader(conn))
	if errors.Is(err, ErrMalformed) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return errors.Join(err, w.finish())
	}
	if err != nil {
		return err
	}
	w.noBody = req.Method == http.MethodHead
	h.ServeHTTP(w, req)
	if err := w.finish(); err != nil {
		return fmt.Errorf("scgi: write the answer: %w", err)
	}
	// With bytes left unread, close would reset the connection, and the answer may
	// be lost on its way.
	io.Copy(io.Discard, req.Body)
	return nil
}

// holdBack is how much of an answer is kept back: if that is all, its length is
// known and can be said. Without a length nobody can tell an answer that is cut
// short from a whole one.
const holdBack = 4 << 10

// A response is an answer being written.
type response struct {
	out    *bufio.Writer
	header http.Header
	status int          // 0 until WriteHeader
	held   bytes.Buffer // the body, until the header is sent
	sent   bool         // the header is
	noBody bool         // the request or the status does not allow one
}

var _ http.Flusher = (*response)(nil)

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return // CGI has no informational answers
	}
	w.status = status
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.noBody = true
	}
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.sent {
		w.held.Write(p)
		if w.held.Len() > holdBack {
			w.send()
		}
		return len(p), nil
	}
	if w.noBody {
		return len(p), nil
	}
	return w.out.Write(p)
}

// Flush sends what was written so far. The answer then has the length that the
// handler has set, or none.
func (w *response) Flush() {
	w.send()
	w.out.Flush() // the writer keeps its error
}

// send writes the header, and what of the body was held back.
func (w *response) send() {
	if w.sent {
		return
	}
	w.sent = true
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.header.Get("Content-Type") == "" && w.held.Len() > 0 {
		w.header.Set("Content-Type", http.DetectContentType(w.held.Bytes()))
	}
	fmt.Fprintf(w.out, "Status: %d %s\r\n", w.status, http.StatusText(w.status))
	w.header.Write(w.out)
	w.out.WriteString("\r\n")
	if !w.noBody {
		w.out.Write(w.held.Bytes())
	}
	w.held.Reset()
}

// finish ends the answer.
func (w *response) finish() error {
	if !w.sent && w.header.Get("Content-Length") == "" && w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		w.header.Set("Content-Length", strconv.Itoa(w.held.Len()))
	}
	w.send()
	return w.out.Flush()
}
