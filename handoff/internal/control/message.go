package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxRequest bounds what a client may send at once, in bytes.
	MaxRequest = 64 << 10
	// MaxReply bounds what a client takes at once, in bytes.
	MaxReply = 1 << 20
)

// A request is a call as it is on the wire, a reply its answer: JSON with a NUL
// behind it.
type (
	request struct {
		Method     string `json:"method"`
		Parameters any    `json:"parameters,omitempty"`
		More       bool   `json:"more,omitempty"`
	}

	reply struct {
		Parameters json.RawMessage `json:"parameters,omitempty"`
		Continues  bool            `json:"continues,omitempty"`
		Error      string          `json:"error,omitempty"`
	}

	errorReply struct {
		Error      string          `json:"error"`
		Parameters errorParameters `json:"parameters"`
	}
)

func encode(message any) ([]byte, error) {
	b, err := json.Marshal(message)
	return append(b, 0), err
}

// readMessage reads up to the NUL that ends a message and returns what is before
// it. A message of more than most bytes is ErrTooLarge, an end before the first
// byte is io.EOF, and one before the NUL io.ErrUnexpectedEOF.
func readMessage(r *bufio.Reader, most int) ([]byte, error) {
	var message []byte
	for {
		part, err := r.ReadSlice(0)
		message = append(message, part...)
		length := len(message)
		if err == nil {
			length-- // the NUL
		}
		if length > most {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
		}
		switch {
		case err == nil:
			return message[:length], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && length > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// parameters reads the members of a JSON object into those pointers that have
// their names. What is absent, or null, is left as it is. If a member is unknown,
// or its pointer cannot take it, it returns its name and false: what is asked for
// in words that are not understood must not be done without them.
func parameters(object *json.RawMessage, into map[string]any) (invalid string, ok bool) {
	if object == nil {
		return "", true
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(*object, &members); err != nil {
		return "parameters", false
	}
	for name, value := range members {
		p, known := into[name]
		if !known || json.Unmarshal(value, p) != nil {
			return name, false
		}
	}
	return "", true
}
