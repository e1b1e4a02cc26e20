package parcel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func init() {
	helpers["writer-crash"] = helpWriterCrash
	helpers["reader-crash"] = helpReaderCrash
}

// crash ends the process as the kernel's own killer would.
func crash() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// runCrash runs a helper that must crash at a step.
func runCrash(t *testing.T, name string, step int, files ...*os.File) {
	t.Helper()
	cmd := helperCommand(t, name, 0, 0, files...)
	cmd.Env = append(cmd.Env, fmt.Sprint("STEP=", step))
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("step %d: the helper did not crash: %v", step, err)
	}
}

// TestWriterCrash kills a writer after each of its steps: what was sent until
// then is there, whole.
func TestWriterCrash(t *testing.T) {
	leaktest.Check(t)
	for step, want := range []struct {
		entries int
		end     error
	}{
		{0, ErrTruncated}, // made
		{0, ErrTruncated}, // put
		{1, ErrTruncated}, // flushed
		{1 + MaxDescriptors, ErrTruncated},
		{301, io.EOF}, // closed
	} {
		out, in := seqpacketFiles(t)
		runCrash(t, "writer-crash", step, out)
		out.Close()
		r := newReader(t, must(receiveEnd(t, in)))
		found, err := r.Peek(nil)
		if err != nil || int(found.Entries) != want.entries || found.Complete != (want.end == io.EOF) || found.Truncated == found.Complete {
			t.Errorf("step %d: Peek: %+v, %v", step, found, err)
		}
		items, err := receiveAll(t, r)
		if len(items) != want.entries || !errors.Is(err, want.end) {
			t.Errorf("step %d: %d entries, %v; want %d, %v", step, len(items), err, want.entries, want.end)
		}
	}
}

// receiveEnd receives the read end that a helper sent, as a manager does.
func receiveEnd(t *testing.T, f *os.File) (*os.File, error) {
	in := must(NewIntake(f))
	defer in.Close()
	d, err := in.Next(within(t))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { d.Files[0].Close() })
	return d.Files[0], nil
}

func helpWriterCrash([]string) error {
	last, err := strconv.Atoi(os.Getenv("STEP"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	step := 0
	done := func(errs ...error) {
		if err := errors.Join(errs...); err != nil {
			panic(err)
		}
		if step == last {
			crash()
		}
		step++
	}
	w, f, err := New(WriterOptions{})
	if err != nil {
		return err
	}
	manager := must(ResumeDeliverer(os.NewFile(3, "manager"), 0))
	_, err = manager.Deliver(ctx, "parcel", f)
	done(err, f.Close())
	done(putMany(ctx, w, 1, nil))
	done(w.Flush(ctx))
	done(putMany(ctx, w, 300, nil)) // one message of it is sent
	done(w.Close(ctx))
	return nil
}

// TestReaderCrash kills a reader after each of its steps. A next reader finds
// what the first had not received, and is told what it had.
func TestReaderCrash(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	for step, want := range []struct {
		entries int
		end     error
	}{
		{600, io.EOF}, // opened
		{600, io.EOF}, // in the middle of a Peek
		{600, io.EOF}, // peeked
		{600, io.EOF}, // in the middle of a Receive, with the descriptors in hand
		{600 - MaxDescriptors, ErrTaken},
		{600 - 2*MaxDescriptors, ErrTaken},
		{0, ErrTaken}, // everything but the END record
		{0, ErrTruncated},
	} {
		w, f := newParcel(t, WriterOptions{})
		if err := errors.Join(putMany(ctx, w, 600, nil), w.Close(ctx)); err != nil {
			t.Fatal(err)
		}
		runCrash(t, "reader-crash", step, f)
		if empty, err := Drained(f); err != nil || empty != (want.end == ErrTruncated) {
			t.Errorf("step %d: Drained: %v, %v", step, empty, err)
		}
		r := newReader(t, f)
		items, err := receiveAll(t, r)
		if len(items) != want.entries || !errors.Is(err, want.end) {
			t.Errorf("step %d: %d entries, %v; want %d, %v", step, len(items), err, want.entries, want.end)
		}
		if want.end == ErrTaken && r.Taken().Entries != int64(600-want.entries) {
			t.Errorf("step %d: %+v were taken", step, r.Taken())
		}
	}
}

func helpReaderCrash([]string) error {
	last, err := strconv.Atoi(os.Getenv("STEP"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	step := 0
	done := func(err error) {
		if err != nil {
			panic(err)
		}
		if step == last {
			crash()
		}
		step++
	}
	r, err := NewReader(os.NewFile(3, "parcel"), ReaderOptions{})
	done(err)
	_, err = r.Peek(func(string, string, []byte) error {
		if last == 1 {
			crash()
		}
		return nil
	})
	done(err)
	done(err)
	if step == last {
		_, err := r.e.receive(ctx, r.buf, func(_ []byte, fds []int) error {
			if len(fds) < MaxDescriptors {
				return errors.New("the descriptors are not there")
			}
			crash()
			return nil
		})
		return err
	}
	step++
	for range 3 {
		_, err = r.Receive(ctx)
		done(err)
	}
	if _, err := r.Receive(ctx); err != io.EOF {
		return err
	}
	done(nil)
	return nil
}
