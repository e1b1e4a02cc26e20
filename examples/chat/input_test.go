package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// sent is what a client sends for these frames.
func sent(frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		f = ws.NewFrame(f.Header.OpCode, f.Header.Fin, bytes.Clone(f.Payload)) // to be masked
		ws.MustWriteFrame(&b, ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4}))
	}
	return b.Bytes()
}

func text(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }

func part(op ws.OpCode, fin bool, s string) ws.Frame { return ws.NewFrame(op, fin, []byte(s)) }

// all returns what in has, each as "op payload", and then the error.
func all(in *input) (got []string) {
	for {
		op, payload, err := in.next()
		if err != nil {
			return append(got, err.Error())
		}
		got = append(got, fmt.Sprintf("%d %s", op, payload))
	}
}

func TestInput(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	more := errMore.Error()
	unmasked := ws.MustCompileFrame(text("hi"))
	reserved := sent(text("hi"))
	reserved[0] |= 0x40
	cases := []struct {
		name string
		in   []byte
		want []string // the last is the error
	}{
		{"nothing", nil, []string{more}},
		{"one", sent(text("hi")), []string{"1 hi", more}},
		{"three", sent(text("a"), text(""), text("c")), []string{"1 a", "1 ", "1 c", more}},
		{"without its last byte", sent(text("hi"))[:7], []string{more}},
		{"half a header", sent(text(long))[:3], []string{more}},
		{"of the greatest size", sent(text(long)), []string{"1 " + long, more}},
		{"fragments around a ping", sent(part(ws.OpText, false, "he"), ws.NewPingFrame([]byte("p")), part(ws.OpContinuation, false, ""), part(ws.OpContinuation, true, "llo"), text("b")),
			[]string{"9 p", "1 hello", "1 b", more}},
		{"a character in two fragments", sent(part(ws.OpText, false, "\xc3"), part(ws.OpContinuation, true, "\xa4")), []string{"1 ä", more}},
		{"close", sent(ws.NewCloseFrame(nil)), []string{"8 ", more}},
		{"too big", sent(text(long + "x")), []string{"1009: a line has at most 4096 bytes"}},
		{"too big before it is there", sent(text(long + "x"))[:8], []string{"1009: a line has at most 4096 bytes"}},
		{"too big in fragments", sent(part(ws.OpText, false, long), part(ws.OpContinuation, true, "x")), []string{"1009: a line has at most 4096 bytes"}},
		{"binary", sent(ws.NewBinaryFrame([]byte("hi"))), []string{"1003: lines are text messages"}},
		{"not UTF-8", sent(text("\xff")), []string{"1007: the line is not UTF-8"}},
		{"unmasked", unmasked, []string{"1002: frames from client to server must be masked"}},
		{"reserved bit", reserved, []string{"1002: non-zero rsv bits with no extension negotiated"}},
		{"reserved opcode", sent(part(3, true, "")), []string{"1002: use of reserved op code"}},
		{"continuation of nothing", sent(part(ws.OpContinuation, true, "")), []string{"1002: unexpected continuation data frame"}},
		{"text in a text", sent(part(ws.OpText, false, "a"), text("b")), []string{"1002: unexpected non-continuation data frame"}},
		{"ping in fragments", sent(part(ws.OpPing, false, "")), []string{"1002: control frame is not final"}},
		{"big ping", sent(part(ws.OpPing, true, strings.Repeat("x", 126))), []string{"1002: control frame payload limit exceeded"}},
	}
	for _, c := range cases {
		got := all(&input{In: bytes.Clone(c.in)})
		if fmt.Sprintf("%.80q", got) != fmt.Sprintf("%.80q", c.want) {
			t.Errorf("%s: got %.80q, want %.80q", c.name, got, c.want)
		}
	}
}

func TestCloseAnswer(t *testing.T) {
	cases := []struct {
		payload []byte
		code    ws.StatusCode
		reason  string
	}{
		{nil, ws.StatusNormalClosure, ""},
		{ws.NewCloseFrameBody(ws.StatusGoingAway, "tab closed"), ws.StatusGoingAway, ""},
		{ws.NewCloseFrameBody(4000, ""), 4000, ""},
		{[]byte{3}, ws.StatusProtocolError, "status code is not in use"},
		{ws.NewCloseFrameBody(1005, ""), ws.StatusProtocolError, "status code is only application level"},
		{ws.NewCloseFrameBody(999, ""), ws.StatusProtocolError, "status code is not in use"},
		{ws.NewCloseFrameBody(ws.StatusNormalClosure, "\xff"), ws.StatusProtocolError, "invalid utf8 sequence in close reason"},
	}
	for _, c := range cases {
		if code, reason := closeAnswer(c.payload); code != c.code || reason != c.reason {
			t.Errorf("%q: got %d %q, want %d %q", c.payload, code, reason, c.code, c.reason)
		}
	}
}

// However the bytes come in, and wherever the input is carried on between two
// reads, the same comes out of it, and what it holds stays bounded.
func FuzzInput(f *testing.F) {
	f.Add(sent(text("hello"), ws.NewPingFrame(nil), text("world")), uint8(1))
	f.Add(sent(part(ws.OpText, false, "he"), ws.NewPingFrame([]byte("p")), part(ws.OpContinuation, true, "llo")), uint8(3))
	f.Add(sent(text(strings.Repeat("x", maxLine)), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))), uint8(200))
	f.Add(sent(text("\xff")), uint8(2))
	f.Add(ws.MustCompileFrame(text("unmasked")), uint8(5))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		want := all(&input{In: bytes.Clone(b)})
		var got []string
		in := input{}
		for rest := bytes.Clone(b); ; {
			n := min(len(rest), int(step)+1)
			in.In, rest = append(in.In, rest[:n]...), rest[n:]
			if len(b) <= 256 { // it is slow
				in = carried(t, position{input: in}).input
			}
			for {
				op, payload, err := in.next()
				if err == nil {
					got = append(got, fmt.Sprintf("%d %s", op, payload))
					continue
				}
				if err != errMore || len(rest) == 0 {
					got = append(got, err.Error())
					if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
						t.Errorf("in steps of %d got %q, want %q", int(step)+1, got, want)
					}
					return
				}
				break
			}
			if held := len(in.In) + len(in.Message); held > 2*maxLine+ws.MaxHeaderSize {
				t.Fatalf("the input holds %d bytes", held)
			}
		}
	})
}

// carried returns p as the next generation has it.
func carried(t testing.TB, p position) position {
	t.Helper()
	got, err := parsePosition(p.marshal())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestForeignPosition(t *testing.T) {
	for _, b := range []string{"", "x", "{}", `{"Version":2,"Member":1}`} {
		if p, err := parsePosition([]byte(b)); !errors.Is(err, errPosition) {
			t.Errorf("%q: got %v and error %v, want errPosition", b, p, err)
		}
	}
}
