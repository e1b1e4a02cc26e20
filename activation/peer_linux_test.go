package activation

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	peer "github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// startPeer starts a helper with descriptors, and returns what it says.
func startPeer(t testing.TB, name string, said any, files []NamedFile, args ...string) {
	t.Helper()
	cmd := helpertest.Command(t, name, args...)
	var out strings.Builder
	cmd.Stdout = &out
	if err := Start(t.Context(), cmd, files...); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out.String()), said); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
}

// childPeer says what go-systemd makes of its descriptors.
var childPeer = Helper("peer", func() error {
	var names []string
	for _, f := range peer.Files(true) {
		k, err := Inspect(f)
		if err != nil {
			return err
		}
		names = append(names, fmt.Sprintf("%s %v", f.Name(), k))
	}
	return json.NewEncoder(os.Stdout).Encode(names)
})

// A program that reads its descriptors by go-systemd understands what Start passes
// as one that reads them by this package does.
func TestPeer(t *testing.T) {
	leaktest.Check(t)
	listener := os.NewFile(uintptr(tcpListener(t)), "")
	defer listener.Close()
	datagram := os.NewFile(uintptr(udpSocket(t)), "")
	defer datagram.Close()
	files := []NamedFile{{"web", listener}, {"dns", datagram}, {"web", listener}}
	ours := startReport(t, helpertest.Command(t, childReport), files...)
	var theirs []string
	startPeer(t, childPeer, &theirs, files)
	var want []string
	for i, name := range ours.Names {
		want = append(want, name+" "+ours.Kinds[i])
	}
	if len(want) != len(files) || !slices.Equal(theirs, want) {
		t.Errorf("go-systemd inherited %q, and this package %q", theirs, want)
	}
}

// durations is how long two ways to inherit the same descriptors took.
type durations struct {
	Ours, Theirs time.Duration
}

// childInherit inherits what it was passed by both ways. With the argument "theirs"
// go-systemd goes first.
var childInherit = Helper("inherit", func() error {
	// A collection would run the finalizers of go-systemd's files, which close the
	// descriptors.
	debug.SetGCPercent(-1)
	n, err := strconv.Atoi(os.Getenv(envFDs))
	if err != nil {
		return err
	}
	names := os.Getenv(envNames)
	prepare := func() {
		os.Setenv(envPID, strconv.Itoa(os.Getpid()))
		os.Setenv(envFDs, strconv.Itoa(n))
		os.Setenv(envNames, names)
	}
	nonblock := make([]bool, n)
	for i := range n {
		flags, err := unix.FcntlInt(uintptr(firstFD+i), unix.F_GETFL, 0)
		if err != nil {
			return err
		}
		nonblock[i] = flags&unix.O_NONBLOCK != 0
	}
	var d durations
	ways := []func() error{
		func() error {
			began := time.Now()
			s, err := Inherit()
			d.Ours = time.Since(began)
			if err != nil || len(s.entries) != n {
				return fmt.Errorf("inherited %d of %d: %w", len(s.entries), n, err)
			}
			return nil
		},
		func() error {
			began := time.Now()
			files := peer.Files(true)
			d.Theirs = time.Since(began)
			if len(files) != n {
				return fmt.Errorf("go-systemd inherited %d of %d", len(files), n)
			}
			return nil
		},
	}
	if os.Args[1] == "theirs" {
		slices.Reverse(ways)
	}
	for _, way := range ways {
		for i := range n {
			if _, err := unix.FcntlInt(uintptr(firstFD+i), unix.F_SETFD, 0); err != nil {
				return err
			}
			if err := unix.SetNonblock(firstFD+i, nonblock[i]); err != nil {
				return err
			}
		}
		prepare()
		if err := way(); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(d)
})

// BenchmarkInherit compares Inherit with go-systemd's Files for 1,000 listeners, in
// one process that got them from its parent, taking turns at who goes first. The
// sockets are blocking, as with NonBlocking=no, or non-blocking.
func BenchmarkInherit(b *testing.B) {
	const n = 1000
	for _, mode := range []string{"blocking", "nonblocking"} {
		b.Run(mode, func(b *testing.B) {
			var files []NamedFile
			for range n {
				fd := tcpListener(b)
				if err := unix.SetNonblock(fd, mode == "nonblocking"); err != nil {
					b.Fatal(err)
				}
				f := os.NewFile(uintptr(fd), "")
				defer f.Close()
				files = append(files, NamedFile{"many", f})
			}
			var sum durations
			first := []string{"ours", "theirs"}
			for b.Loop() {
				var d durations
				startPeer(b, childInherit, &d, files, first[0])
				slices.Reverse(first)
				sum.Ours += d.Ours
				sum.Theirs += d.Theirs
			}
			b.ReportMetric(0, "ns/op") // of the child's life, which says nothing
			b.ReportMetric(float64(sum.Ours.Microseconds())/float64(b.N), "µs/holdfast")
			b.ReportMetric(float64(sum.Theirs.Microseconds())/float64(b.N), "µs/go-systemd")
			b.ReportMetric(float64(sum.Ours)/float64(sum.Theirs), "ratio")
		})
	}
}

// BenchmarkStart measures what the step costs: a program with one descriptor,
// beside the same by os/exec, which can tell it neither LISTEN_PID nor success.
func BenchmarkStart(b *testing.B) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	var ours, theirs time.Duration
	for b.Loop() {
		began := time.Now()
		cmd := exec.Command("/bin/true")
		if err := Start(b.Context(), cmd, NamedFile{"null", null}); err != nil {
			b.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		began = time.Now()
		cmd = exec.Command("/bin/true")
		cmd.ExtraFiles = []*os.File{null}
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(began)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "µs/holdfast")
	b.ReportMetric(float64(theirs.Microseconds())/float64(b.N), "µs/os-exec")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}
