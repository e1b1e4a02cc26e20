package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// recorder is a testing.TB that keeps what a check says of it.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Failed() bool              { return len(r.errors) > 0 }
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }
func (r *recorder) finish() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

func TestCheckAcceptsWhatIsClosed(t *testing.T) {
	r := &recorder{TB: t}
	Check(r)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	r.finish()
	if len(r.errors) != 0 {
		t.Fatalf("a test that closed everything was failed: %q", r.errors)
	}
}

func TestCheckNamesWhatIsLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("descriptors are listed on Linux only")
	}
	defer func(d time.Duration) { settle = d }(settle)
	settle = 0
	r := &recorder{TB: t}
	Check(r)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.finish()
	want := fmt.Sprintf("%d %s", f.Fd(), os.DevNull)
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], want) {
		t.Fatalf("got %q, want one error that names %q", r.errors, want)
	}
}
