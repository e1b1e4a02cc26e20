package loadtest

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// inlineSize is up to how many bytes a request is written before its answer
	// is read. A longer one is written while the answer is read: a server that
	// answers as it reads would else wait for us, and we for it.
	inlineSize = 4 << 10
	// lateWrite is how long a whole answer waits for the rest of its request to
	// be written. The connection of a server that answers without taking all of
	// the request is not used again.
	lateWrite = time.Second
)

// exchange writes a request and reads its answer. It returns when the answer was
// whole, or had failed, and whether nothing more is to be sent on the connection.
func (c *client) exchange(request Request, raw []byte, deadline time.Time) (done time.Time, last bool, err error) {
	c.in.begin()
	written := make(chan error, 1)
	write := func() {
		_, err := c.conn.Write(raw)
		written <- err
	}
	if len(raw) <= inlineSize {
		write()
	} else {
		go write()
	}
	response, err := c.in.answer(request.Method)
	done = time.Now()
	writeErr := c.finishWrite(written, err == nil, deadline)
	if err != nil {
		// The server may have closed without reading the request: then the write
		// knows that it was reset, and the read only that nothing came.
		if writeErr != nil && classify(writeErr) == Reset && classify(err) == Cut {
			err = fmt.Errorf("%w, after: %w", err, writeErr)
		}
		return done, true, err
	}
	last = response.Close || writeErr != nil || response.StatusCode == http.StatusSwitchingProtocols
	leaves := last || !c.load.options.KeepAlive
	surplus := c.in.br.Buffered() > 0 || leaves && c.peek() == readable
	err = c.judge(request, response)
	if err == nil && surplus {
		err = classError{Wrong, errors.New("bytes follow the answer")}
	}
	return done, last || surplus, err
}

// finishWrite returns the error of the write, once it has ended: it is ended
// here if the answer failed, or if the server does not take the rest in time.
func (c *client) finishWrite(written <-chan error, whole bool, deadline time.Time) error {
	if whole {
		late := time.NewTimer(min(lateWrite, time.Until(deadline)))
		defer late.Stop()
		select {
		case err := <-written:
			return err
		case <-late.C:
		}
	}
	_ = c.raw.SetWriteDeadline(time.Unix(1, 0))
	return <-written
}

// judge says what is wrong with a whole answer.
func (c *client) judge(request Request, response *http.Response) error {
	if response.StatusCode/100 != 2 {
		return classError{Status, fmt.Errorf("status %s", response.Status)}
	}
	if c.load.options.Check == nil {
		return nil
	}
	answer := Answer{Status: response.StatusCode, Header: response.Header, Body: c.in.body.Bytes()}
	if err := c.load.options.Check(request, answer); err != nil {
		return classError{Wrong, err}
	}
	return nil
}
