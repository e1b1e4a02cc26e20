package parcel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestAnyParcel puts random entries into a parcel with flushes at random places,
// ends it in one way or another, and has any number of readers take turns.
func TestAnyParcel(t *testing.T) {
	leaktest.Check(t)
	_, w0 := pipe(t)
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		w, f, err := New(WriterOptions{Live: rapid.Bool().Draw(t, "live")})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer w.Abandon()
		sizes := rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(0, 2*maxInline), rapid.Just(maxSharedBody))
		counts := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, MaxDescriptors))
		var entries []Entry
		var lock sync.Mutex
		var sent []int
		for i := range rapid.IntRange(0, 30).Draw(t, "entries") {
			e := Entry{
				Kind:    rapid.SampledFrom([]string{"", "conn", "state"}).Draw(t, "kind"),
				Name:    fmt.Sprint(i),
				Payload: bytes.Repeat([]byte{byte(i)}, sizes.Draw(t, "size")),
				Secret:  rapid.Bool().Draw(t, "secret"),
			}
			for range counts.Draw(t, "descriptors") {
				e.Descriptors = append(e.Descriptors, w0)
			}
			e.Done = func(err error) {
				if err == nil {
					lock.Lock()
					sent = append(sent, i)
					lock.Unlock()
				}
			}
			entries = append(entries, e)
			if err := w.Put(ctx, e); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "flush") {
				if err := w.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		if closed := rapid.Bool().Draw(t, "close"); closed {
			if err := w.Close(ctx); err != nil || len(sent) != len(entries) {
				t.Fatalf("%d of %d were sent: %v", len(sent), len(entries), err)
			}
		} else {
			w.Abandon()
		}
		readInTurns(ctx, t, f, entries[:len(sent)], len(sent) == len(entries))
	})
}

// readInTurns reads with a new reader after each message, or the same, and wants
// what was sent.
func readInTurns(ctx context.Context, t *rapid.T, f *os.File, want []Entry, mayBeComplete bool) {
	r := must(NewReader(f, ReaderOptions{}))
	defer func() { r.Close() }()
	left := len(want)
	for {
		found, err := r.Peek(nil)
		if err != nil || int(found.Entries) != left {
			t.Fatalf("Peek: %+v, %v; %d are left", found, err, left)
		}
		items, err := r.Receive(ctx)
		if err != nil {
			if left != 0 || found.Complete && !mayBeComplete || found.Complete == errors.Is(err, ErrTruncated) {
				t.Fatalf("%v, when %d are left and there was %+v", err, left, found)
			}
			if found.Complete && (err == io.EOF) != (r.Taken() == Counts{}) {
				t.Fatalf("%v, when %+v were taken before", err, r.Taken())
			}
			return
		}
		for _, it := range items {
			e := want[len(want)-left]
			if it.Kind != e.Kind || it.Name != e.Name || !bytes.Equal(it.Payload, e.Payload) || it.Secret != e.Secret || it.Len() != len(e.Descriptors) {
				t.Fatalf("%q came with %d bytes and %d descriptors where %q was put with %d and %d", it.Name, len(it.Payload), it.Len(), e.Name, len(e.Payload), len(e.Descriptors))
			}
			it.Close()
			left--
		}
		if rapid.Bool().Draw(t, "next reader") {
			r.Close()
			r = must(NewReader(f, ReaderOptions{}))
		}
	}
}

// TestManyWriters has goroutines that put into one live parcel, some of them
// from Done, while it is read.
func TestManyWriters(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	_, w0 := pipe(t)
	w, f := newParcel(t, WriterOptions{Live: true, SendBuffer: 64 << 10})
	const writers, each = 8, 300
	var puts, dones sync.WaitGroup
	dones.Add(2 * writers * each)
	put := func(e Entry) {
		if err := w.Put(ctx, e); err != nil {
			t.Error(err)
		}
	}
	for i := range writers {
		puts.Go(func() {
			for j := range each {
				puts.Add(1)
				put(Entry{Name: fmt.Sprint(i, " ", j), Descriptors: []syscall.Conn{w0}, Done: func(err error) {
					defer puts.Done()
					defer dones.Done()
					put(Entry{Name: "again", Done: func(error) { dones.Done() }})
				}})
			}
		})
	}
	go func() {
		puts.Wait()
		if err := w.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	next := make([]int, writers)
	r, n := newReader(t, f), 0
	for {
		items, err := r.Receive(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			n++
			it.Close()
			if it.Name == "again" {
				continue
			}
			var i, j int
			if _, err := fmt.Sscan(it.Name, &i, &j); err != nil || next[i] != j {
				t.Fatalf("%q came when %d was next of it, %v", it.Name, next[i], err)
			}
			next[i]++
		}
	}
	if n != 2*writers*each {
		t.Errorf("%d entries came, want %d", n, 2*writers*each)
	}
	dones.Wait()
}
