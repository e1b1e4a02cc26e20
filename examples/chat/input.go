package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// maxLine bounds a message, in bytes, however many frames it comes in.
const maxLine = 4096

// An input assembles messages out of what was read. It is plain data, so that it
// can be carried in the middle of a frame and in the middle of a message.
type input struct {
	In         []byte // read, and not yet a whole frame
	Message    []byte // the frames so far of a message
	Fragmented bool   // there are such
}

// errMore says that the rest of a frame has not been read yet.
var errMore = errors.New("the frame is not whole")

// A closeError is what the client did wrong.
type closeError struct {
	code   ws.StatusCode
	reason string
}

func (e *closeError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.reason) }

// next returns the next whole text message or control frame, and its payload.
// An error is errMore, or a *closeError with which the connection must end.
func (in *input) next() (ws.OpCode, []byte, error) {
	for {
		h, payload, err := in.frame()
		if err != nil {
			return 0, nil, err
		}
		if h.OpCode.IsControl() {
			return h.OpCode, payload, nil
		}
		if h.OpCode == ws.OpBinary {
			return 0, nil, &closeError{ws.StatusUnsupportedData, "lines are text messages"}
		}
		in.Message = append(in.Message, payload...)
		in.Fragmented = !h.Fin
		if in.Fragmented {
			continue
		}
		message := in.Message
		in.Message = nil
		if !utf8.Valid(message) {
			return 0, nil, &closeError{ws.StatusInvalidFramePayloadData, "the line is not UTF-8"}
		}
		return ws.OpText, message, nil
	}
}

// frame takes a whole frame out of In, and unmasks it.
func (in *input) frame() (ws.Header, []byte, error) {
	r := bytes.NewReader(in.In)
	h, err := ws.ReadHeader(r)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return h, nil, errMore
	}
	if err == nil {
		state := ws.StateServerSide
		if in.Fragmented {
			state = state.Set(ws.StateFragmented)
		}
		err = ws.CheckHeader(h, state)
	}
	if err != nil {
		return h, nil, &closeError{ws.StatusProtocolError, err.Error()}
	}
	if !h.OpCode.IsControl() && h.Length > int64(maxLine-len(in.Message)) {
		return h, nil, &closeError{ws.StatusMessageTooBig, fmt.Sprintf("a line has at most %d bytes", maxLine)}
	}
	if int64(r.Len()) < h.Length {
		return h, nil, errMore
	}
	head := len(in.In) - r.Len()
	payload := in.In[head : head+int(h.Length)]
	in.In = in.In[head+int(h.Length):]
	ws.Cipher(payload, h.Mask, 0)
	return h, payload, nil
}

// closeAnswer returns what a close frame of the client is answered with.
func closeAnswer(payload []byte) (ws.StatusCode, string) {
	if len(payload) == 0 {
		return ws.StatusNormalClosure, ""
	}
	code, reason := ws.ParseCloseFrameData(payload)
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return ws.StatusProtocolError, err.Error()
	}
	return code, ""
}

func closeFrame(code ws.StatusCode, reason string) []byte {
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}
