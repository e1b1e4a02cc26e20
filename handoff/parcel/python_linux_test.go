package parcel

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// python returns a command that runs testdata/peer.py, written from doc.go's
// text, with files from descriptor 3 on.
func python(t *testing.T, files []*os.File, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.CommandContext(within(t), path, append([]string{"testdata/peer.py"}, args...)...)
	cmd.ExtraFiles = files
	cmd.Stderr = &testWriter{t}
	return cmd
}

type testWriter struct{ t *testing.T }

func (w *testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// A line is what the peer prints and reads, an entry or the end.
type line struct {
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	Payload     string `json:"payload"`
	Descriptors int    `json:"descriptors"`
	Secret      bool   `json:"secret"`
	Extra       bool   `json:"extra,omitempty"`
	End         string `json:"end,omitempty"`
	Entries     int    `json:"entries,omitempty"`
	Bytes       int    `json:"bytes,omitempty"`
}

func lines(t *testing.T, output []byte) []line {
	t.Helper()
	var all []line
	for d := json.NewDecoder(bytes.NewReader(output)); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%v in %q", err, output)
		}
		all = append(all, l)
	}
	return all
}

func TestPythonReads(t *testing.T) {
	for _, complete := range []bool{true, false} {
		t.Run(fmt.Sprintf("complete=%v", complete), func(t *testing.T) {
			leaktest.Check(t)
			ctx := within(t)
			r0, w0 := pipe(t)
			w, f := newParcel(t, WriterOptions{})
			var want []line
			put := func(e Entry) {
				t.Helper()
				if err := w.Put(ctx, e); err != nil {
					t.Fatal(err)
				}
				want = append(want, line{Kind: e.Kind, Name: e.Name, Payload: hex.EncodeToString(e.Payload), Descriptors: len(e.Descriptors), Secret: e.Secret})
			}
			put(Entry{Kind: "state", Name: "é", Payload: []byte{0, 255}})
			for i := range 600 { // in memfds
				put(Entry{Kind: "conn", Name: fmt.Sprint(i, ","), Payload: make([]byte, i), Descriptors: []syscall.Conn{w0}})
			}
			put(Entry{Kind: "keys", Payload: []byte("hidden"), Secret: true})
			put(Entry{Kind: "big", Payload: bytes.Repeat([]byte("b"), 3<<20)})
			if err := w.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			end := line{End: "truncated"}
			if complete {
				if err := w.Close(ctx); err != nil {
					t.Fatal(err)
				}
				sent := w.Sent()
				end = line{End: "complete", Entries: int(sent.Entries), Descriptors: int(sent.Descriptors), Bytes: int(sent.Bytes)}
			} else {
				w.Abandon()
			}
			cmd := python(t, []*os.File{f}, "read", "3")
			output, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			got := lines(t, output)
			want = append(want, end)
			if len(got) != len(want) {
				t.Fatalf("the peer read %d entries, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("entry %d is %.200v, want %.200v", i, got[i], want[i])
				}
			}
			w0.Close()
			said, _ := io.ReadAll(r0)
			if !strings.HasPrefix(string(said), "0,1,2,") || !strings.HasSuffix(string(said), "599,") {
				t.Errorf("through the descriptors came %.40q", said)
			}
		})
	}
}

func TestPythonWrites(t *testing.T) {
	for _, complete := range []bool{true, false} {
		t.Run(fmt.Sprintf("complete=%v", complete), func(t *testing.T) {
			leaktest.Check(t)
			writeEnd, readEnd := seqpacketFiles(t)
			r0, w0 := pipe(t)
			messages := []string{
				`{"memfd": false, "entries": [{"kind": "state", "name": "x", "payload": "00ff", "descriptors": 0, "secret": true, "extra": true}]}`,
				`{"memfd": true, "extra": true, "entries": [{"kind": "conn", "name": "a", "payload": "", "descriptors": 2, "secret": false}, {"kind": "conn", "name": "b", "payload": "62", "descriptors": 1, "secret": false}]}`,
			}
			if !complete {
				messages = append(messages, "CRASH")
			}
			cmd := python(t, []*os.File{writeEnd}, "write", "3")
			cmd.Stdin = strings.NewReader(strings.Join(messages, "\n"))
			cmd.Stdout = w0
			err := cmd.Run()
			writeEnd.Close()
			w0.Close()
			if complete != (err == nil) {
				t.Fatal(err)
			}
			r := newReader(t, readEnd)
			if found, err := r.Peek(nil); err != nil || found.Entries != 3 || found.Complete != complete || found.Truncated == complete {
				t.Fatalf("Peek: %+v, %v", found, err)
			}
			items, err := receiveAll(t, r)
			if complete && err != io.EOF || !complete && !errors.Is(err, ErrTruncated) {
				t.Errorf("the end is %v", err)
			}
			if len(items) != 3 {
				t.Fatalf("%d entries", len(items))
			}
			first, second, third := items[0], items[1], items[2]
			if first.Kind != "state" || first.Name != "x" || string(first.Payload) != "\x00\xff" || !first.Secret ||
				second.Name != "a" || second.Len() != 2 || third.Name != "b" || string(third.Payload) != "b" || third.Len() != 1 {
				t.Errorf("%+v, %+v, %+v", first, second, third)
			}
			file := must(third.File(0))
			defer file.Close()
			wantEcho(t, file, r0, "into python's standard output")
		})
	}
}

// seqpacketFiles returns the bare ends of a parcel.
func seqpacketFiles(t testing.TB) (writeEnd, readEnd *os.File) {
	t.Helper()
	p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	writeEnd, readEnd = os.NewFile(uintptr(p[0]), "write end"), os.NewFile(uintptr(p[1]), "read end")
	t.Cleanup(func() {
		writeEnd.Close()
		readEnd.Close()
	})
	return writeEnd, readEnd
}

func TestPythonGeneration(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	d, child, err := NewDeliverer()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r0, w0 := pipe(t)
	// As a wrapper script in ExecStart= does it.
	cmd := python(t, []*os.File{child}, "generation")
	cmd.Args = append([]string{"sh", "-c", `"$@"; exit $?`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = must(exec.LookPath("sh"))
	cmd.Env = append(os.Environ(), SocketEnv+"=3")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child.Close()
	for _, name := range []string{"conns-1", "", "state (2)"} {
		id, err := d.Deliver(ctx, name, w0, w0)
		if err != nil {
			t.Fatal(err)
		}
		wantReply(t, d, Reply{Taken: id})
	}
	if err := d.Release(ctx, 7); err != nil {
		t.Fatal(err)
	}
	wantReply(t, d, Reply{Released: 7})
	if err := d.Resume(ctx, 7); err != nil {
		t.Fatal(err)
	}
	wantReply(t, d, Reply{Resumed: 7})
	if err := d.Owned(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Next(ctx); err != io.EOF {
		t.Errorf("the generation's end: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, out.Bytes()); len(got) != 3 || got[0].End != "release" || got[1].End != "resume" || got[2].End != "owned" {
		t.Errorf("the generation printed %s", out.Bytes())
	}
	w0.Close()
	if said, _ := io.ReadAll(r0); string(said) != "conns-1conns-1state (2)state (2)" {
		t.Errorf("through the descriptors came %q", said)
	}
}

func TestPythonManager(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	theirs, ours := seqpacketFiles(t)
	cmd := python(t, []*os.File{theirs}, "manager", "3", "conns-7")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	in := must(NewIntake(ours))
	defer in.Close()
	delivery, err := in.Next(ctx)
	if err != nil || delivery.ID != 5 || delivery.Name != "conns-7" || len(delivery.Files) != 1 || delivery.Owned {
		t.Fatalf("%+v, %v", delivery, err)
	}
	io.WriteString(delivery.Files[0], "taken")
	delivery.Files[0].Close()
	if err := in.Taken(ctx, delivery.ID); err != nil {
		t.Fatal(err)
	}
	if delivery, err := in.Next(ctx); err != nil || !delivery.Owned {
		t.Fatalf("%+v, %v", delivery, err)
	}
	if delivery, err := in.Next(ctx); err != nil || delivery.Release != 9 {
		t.Fatalf("%+v, %v", delivery, err)
	}
	if err := in.Released(ctx, 9); err != nil {
		t.Fatal(err)
	}
	if delivery, err := in.Next(ctx); err != nil || delivery.Resume != 9 {
		t.Fatalf("%+v, %v", delivery, err)
	}
	if err := in.Resumed(ctx, 9); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, out.Bytes()); len(got) != 1 || got[0].End != "taken" {
		t.Errorf("the manager printed %s", out.Bytes())
	}
	if _, err := in.Next(ctx); err != io.EOF {
		t.Errorf("the manager's end: %v", err)
	}
}
