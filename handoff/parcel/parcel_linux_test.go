package parcel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestWhatGoesInComesOut puts entries of all shapes into a parcel that nobody
// reads until it is closed.
func TestWhatGoesInComesOut(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	r0, w0 := pipe(t)
	many := make([]syscall.Conn, MaxDescriptors)
	for i := range many {
		many[i] = w0
	}
	entries := []Entry{
		{Kind: "state", Name: "counters", Payload: []byte("17")},
		{},
		{Kind: "conn", Name: "echo", Descriptors: []syscall.Conn{w0}},
		{Kind: "conn", Name: "echo", Descriptors: []syscall.Conn{w0, r0, w0}, Payload: []byte{0, 1, 2}},
		{Kind: "keys", Name: "tls", Payload: []byte("hidden"), Secret: true},
		{Kind: "many", Name: strings.Repeat("n", MaxName), Descriptors: many},
		{Kind: "big", Name: "inline", Payload: bytes.Repeat([]byte("x"), maxInline-entrySize-9)},
		{Kind: "big", Name: "memfd", Payload: bytes.Repeat([]byte("yz"), 3<<20)},
		{Kind: strings.Repeat("k", MaxName), Name: "last\n\x00", Payload: []byte("\xff")},
	}
	w, f := newParcel(t, WriterOptions{})
	var done int
	for i, e := range entries {
		e.Done = func(err error) {
			if err != nil || done != i {
				t.Errorf("entry %d: Done(%v) after %d others", i, err, done)
			}
			done++
		}
		if err := w.Put(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if done != len(entries) {
		t.Fatalf("Done was called for %d entries of %d", done, len(entries))
	}
	r := newReader(t, f)
	found, err := r.Peek(nil)
	if err != nil {
		t.Fatal(err)
	}
	if found.Counts != w.Sent() || !found.Complete || found.Truncated || found.Taken != (Counts{}) {
		t.Fatalf("Peek found %+v, and %+v were sent", found, w.Sent())
	}
	items, err := receiveAll(t, r)
	if err != io.EOF {
		t.Fatalf("the end is %v, want io.EOF", err)
	}
	if r.Received() != w.Sent() {
		t.Fatalf("received %+v, sent %+v", r.Received(), w.Sent())
	}
	if len(items) != len(entries) {
		t.Fatalf("%d entries came out, want %d", len(items), len(entries))
	}
	for i, it := range items {
		e := entries[i]
		if it.Kind != e.Kind || it.Name != e.Name || !bytes.Equal(it.Payload, e.Payload) || it.Secret != e.Secret || it.Len() != len(e.Descriptors) {
			t.Errorf("entry %d: %.20q %.20q with %d bytes and %d descriptors is not what went in", i, it.Kind, it.Name, len(it.Payload), it.Len())
		}
	}
	file := must(items[3].File(2))
	defer file.Close()
	wantEcho(t, file, r0, "through the third descriptor")
	if empty, err := Drained(f); !empty || err != nil {
		t.Fatalf("Drained: %v, %v", empty, err)
	}
}

// TestPeekLeavesEverything peeks again and again, and counts descriptors.
func TestPeekLeavesEverything(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	_, w0 := pipe(t)
	w, f := newParcel(t, WriterOptions{})
	const n = 1000
	for i := range n {
		err := w.Put(ctx, Entry{Kind: "conn", Name: fmt.Sprint(i), Payload: []byte(fmt.Sprint("payload ", i)), Descriptors: []syscall.Conn{w0}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, f)
	before := openFiles()
	for range 3 {
		i := 0
		found, err := r.Peek(func(kind, name string, payload []byte) error {
			if name != fmt.Sprint(i) || string(payload) != fmt.Sprint("payload ", i) {
				t.Errorf("entry %d is %q %q with %q", i, kind, name, payload)
			}
			i++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if i != n || found.Entries != n || found.Descriptors != n || found.Complete || found.Truncated {
			t.Fatalf("visited %d, found %+v", i, found)
		}
	}
	if after := openFiles(); after != before {
		t.Fatalf("%d descriptors are open after peeking, %d before", after, before)
	}
	refused := errors.New("of an older version")
	if _, err := r.Peek(func(string, string, []byte) error { return refused }); !errors.Is(err, refused) {
		t.Fatalf("Peek: %v", err)
	}
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if found, err := r.Peek(nil); err != nil || !found.Complete {
		t.Fatalf("Peek: %+v, %v", found, err)
	}
	items, err := receiveAll(t, r)
	if len(items) != n || err != io.EOF {
		t.Fatalf("%d entries, %v", len(items), err)
	}
}

// TestLive has a reader that waits for each entry while the writer lives.
func TestLive(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	r0, w0 := pipe(t)
	w, f := newParcel(t, WriterOptions{Live: true})
	r := newReader(t, f)
	for i := range 20 {
		if err := w.Put(ctx, Entry{Name: fmt.Sprint(i), Descriptors: []syscall.Conn{w0}}); err != nil {
			t.Fatal(err)
		}
		items, err := r.Receive(ctx) // no Flush: the writer's timer does it
		if err != nil || len(items) != 1 || items[0].Name != fmt.Sprint(i) {
			t.Fatalf("received %d entries, %v", len(items), err)
		}
		file := must(items[0].File(0))
		wantEcho(t, file, r0, "echo")
		file.Close()
	}
	if empty, err := Drained(f); empty || err != nil {
		t.Fatalf("Drained while the writer lives: %v, %v", empty, err)
	}
	short, cancel := context.WithCancelCause(ctx)
	because := errors.New("told to stop")
	cancel(because)
	if _, err := r.Receive(short); !errors.Is(err, because) {
		t.Fatalf("Receive with a context that ended: %v", err)
	}
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if items, err := r.Receive(ctx); items != nil || err != io.EOF {
		t.Fatalf("at the end: %v, %v", items, err)
	}
	if items, err := r.Receive(ctx); items != nil || err != io.EOF {
		t.Fatalf("after the end: %v, %v", items, err)
	}
}

// TestTruncated has writers that end without an END record.
func TestTruncated(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	w, f := newParcel(t, WriterOptions{})
	if err := w.Put(ctx, Entry{Name: "sent"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	var verdict error
	if err := w.Put(ctx, Entry{Name: "not sent", Done: func(err error) { verdict = err }}); err != nil {
		t.Fatal(err)
	}
	w.Abandon()
	if !errors.Is(verdict, ErrClosed) {
		t.Errorf("the verdict of what was not sent is %v", verdict)
	}
	r := newReader(t, f)
	if found, err := r.Peek(nil); err != nil || !found.Truncated || found.Complete || found.Entries != 1 {
		t.Errorf("Peek: %+v, %v", found, err)
	}
	items, err := receiveAll(t, r)
	if len(items) != 1 || !errors.Is(err, ErrTruncated) {
		t.Fatalf("%d entries, %v", len(items), err)
	}
	for _, err := range []error{w.Put(ctx, Entry{}), w.Flush(ctx), w.Close(ctx)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Abandon: %v", err)
		}
	}
}

// TestNextReader has a reader that takes the first messages and dies.
func TestNextReader(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	_, w0 := pipe(t)
	w, f := newParcel(t, WriterOptions{})
	for range 3 {
		if err := w.Put(ctx, Entry{Payload: []byte("1234"), Descriptors: []syscall.Conn{w0, w0}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	first := newReader(t, f)
	items := must(first.Receive(ctx))
	items[0].Close()
	first.Close()

	second := newReader(t, f)
	taken := Counts{Entries: 1, Descriptors: 2, Bytes: 4}
	found, err := second.Peek(nil)
	if err != nil || found.Taken != taken || found.Entries != 2 {
		t.Fatalf("Peek: %+v, %v", found, err)
	}
	items, err = receiveAll(t, second)
	if len(items) != 2 || !errors.Is(err, ErrTaken) || second.Taken() != taken {
		t.Fatalf("%d entries, %v, taken %+v", len(items), err, second.Taken())
	}
}

// TestClosedUnderTheWriter closes a descriptor between Put and Flush: its entry
// fails, and no other.
func TestClosedUnderTheWriter(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	_, w0 := pipe(t)
	_, w1 := pipe(t)
	w, f := newParcel(t, WriterOptions{})
	verdicts := make(map[string]error)
	for _, e := range []Entry{{Name: "a"}, {Name: "b", Descriptors: []syscall.Conn{w0, w1}}, {Name: "c", Descriptors: []syscall.Conn{w0}}} {
		e.Done = func(err error) { verdicts[e.Name] = err }
		if err := w.Put(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	w1.Close()
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if verdicts["b"] == nil || verdicts["a"] != nil || verdicts["c"] != nil || len(verdicts) != 3 {
		t.Errorf("verdicts: %v", verdicts)
	}
	items, err := receiveAll(t, newReader(t, f))
	if len(items) != 2 || items[0].Name != "a" || items[1].Name != "c" || err != io.EOF {
		t.Errorf("%d entries, %v", len(items), err)
	}
}

// TestPutRefuses has entries that no parcel takes.
func TestPutRefuses(t *testing.T) {
	leaktest.Check(t)
	w, _ := newParcel(t, WriterOptions{MaxPayload: 10})
	for name, e := range map[string]Entry{
		"kind":        {Kind: strings.Repeat("k", MaxName+1)},
		"name":        {Name: strings.Repeat("n", MaxName+1)},
		"payload":     {Payload: make([]byte, 11)},
		"descriptors": {Descriptors: make([]syscall.Conn, MaxDescriptors+1)},
		"nil":         {Descriptors: make([]syscall.Conn, 1)},
	} {
		e.Done = func(err error) { t.Errorf("%s: Done(%v)", name, err) }
		if err := w.Put(within(t), e); err == nil {
			t.Errorf("%s: Put took it", name)
		}
	}
}

// TestReaderGone closes every copy of the read end.
func TestReaderGone(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	w, f := newParcel(t, WriterOptions{})
	f.Close()
	var verdict error
	if err := w.Put(ctx, Entry{Done: func(err error) { verdict = err }}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(ctx); !errors.Is(err, ErrNoReader) {
		t.Errorf("Flush: %v", err)
	}
	if err := w.Close(ctx); !errors.Is(err, ErrNoReader) || !errors.Is(verdict, ErrNoReader) {
		t.Errorf("Close: %v; the entry: %v", err, verdict)
	}
}

// TestReceiveIsInterrupted closes a reader that waits.
func TestReceiveIsInterrupted(t *testing.T) {
	leaktest.Check(t)
	_, f := newParcel(t, WriterOptions{})
	r := newReader(t, f)
	end := make(chan error, 1)
	go func() {
		_, err := r.Receive(context.Background())
		end <- err
	}()
	r.Close()
	if err := <-end; !errors.Is(err, ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
	if _, err := r.Peek(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Peek: %v", err)
	}
	if err := r.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
}

// TestItemForwarded puts what was received into another parcel, untouched.
func TestItemForwarded(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	r0, w0 := pipe(t)
	in := Entry{Kind: "conn", Name: "echo", Payload: []byte("x"), Secret: true, Descriptors: []syscall.Conn{w0}}
	for range 3 {
		w, f := newParcel(t, WriterOptions{})
		if err := errors.Join(w.Put(ctx, in), w.Close(ctx)); err != nil {
			t.Fatal(err)
		}
		items, err := receiveAll(t, newReader(t, f))
		if len(items) != 1 || err != io.EOF {
			t.Fatal(len(items), err)
		}
		in = items[0].Entry()
	}
	if in.Kind != "conn" || in.Name != "echo" || string(in.Payload) != "x" || !in.Secret {
		t.Errorf("the entry became %+v", in)
	}
	w, f := newParcel(t, WriterOptions{})
	if err := errors.Join(w.Put(ctx, in), w.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	items, _ := receiveAll(t, newReader(t, f))
	file := must(items[0].File(0))
	defer file.Close()
	wantEcho(t, file, r0, "three parcels on")
	if _, err := items[0].File(0); !errors.Is(err, ErrClosed) {
		t.Errorf("taken twice: %v", err)
	}
	if _, err := items[0].File(1); err == nil {
		t.Error("a descriptor that is not there was taken")
	}
}
