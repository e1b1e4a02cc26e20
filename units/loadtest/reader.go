package loadtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
)

const (
	maxHeaderSize    = 1 << 20 // bytes of an answer's header
	maxInformational = 5       // 1xx answers before the final one
)

var errHeaderSize = classError{Wrong, fmt.Errorf("the answer's header is longer than %d bytes", maxHeaderSize)}

// reader reads answers from a connection, and keeps what the parser on top of
// it does not tell: how much came, and what ended the connection.
type reader struct {
	conn     net.Conn
	br       *bufio.Reader
	body     bytes.Buffer
	received int64 // of this answer
	limit    int64 // of received
	err      error // what ended the connection
}

// reset makes r read from c.
func (r *reader) reset(c net.Conn) {
	r.conn = c
	r.br.Reset(r)
}

// begin makes r ready for the next answer.
func (r *reader) begin() {
	r.received, r.limit, r.err = 0, maxHeaderSize, nil
	r.body.Reset()
}

// Read is for br.
func (r *reader) Read(p []byte) (int, error) {
	if r.received >= r.limit {
		r.err = errHeaderSize
		return 0, r.err
	}
	n, err := r.conn.Read(p)
	r.received += int64(n)
	if err != nil {
		r.err = err
	}
	return n, err
}

// answer reads one answer, its body into r.body. An error says that it was not
// whole, or no HTTP.
func (r *reader) answer(method string) (*http.Response, error) {
	for range maxInformational + 1 {
		response, err := http.ReadResponse(r.br, &http.Request{Method: method})
		if err != nil {
			return nil, r.failed("header", err)
		}
		if response.StatusCode/100 == 1 && response.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		r.limit = math.MaxInt64
		n, err := r.body.ReadFrom(io.LimitReader(response.Body, MaxAnswerSize+1))
		switch {
		case err != nil:
			return nil, r.failed("body", err)
		case n > MaxAnswerSize:
			return nil, classError{Wrong, fmt.Errorf("the answer's body is longer than %d bytes", MaxAnswerSize)}
		}
		return response, nil
	}
	return nil, classError{Wrong, errors.New("too many informational (1xx) answers")}
}

// failed tells an answer that the connection cut short from one that is no HTTP.
// The parser asks for more only as long as what came is right so far.
func (r *reader) failed(part string, err error) error {
	if r.err == nil {
		return classError{Wrong, fmt.Errorf("%s of the answer: %w", part, err)}
	}
	return fmt.Errorf("%s of the answer, after %d bytes: %w", part, r.received, r.err)
}
