//go:build !linux

package parcel

import (
	"errors"
	"os"
	"testing"
)

// TestUnsupported has every way to a parcel end where there are none.
func TestUnsupported(t *testing.T) {
	_, _, newErr := New(WriterOptions{})
	_, readerErr := NewReader(os.Stdin, ReaderOptions{})
	_, intakeErr := NewIntake(os.Stdin)
	_, _, delivererErr := NewDeliverer()
	_, resumeErr := ResumeDeliverer(os.Stdin, 0)
	_, drainedErr := Drained(os.Stdin)
	for _, err := range []error{newErr, readerErr, intakeErr, delivererErr, resumeErr, drainedErr} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, want errors.ErrUnsupported", err)
		}
	}
	if in, err := OpenIntake(); in != nil || err != nil {
		t.Errorf("OpenIntake: %v, %v", in, err)
	}
}
