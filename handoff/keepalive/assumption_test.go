package keepalive

import (
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// A recorder is a connection that notes how much net/http asks for. To its
// background reader it gives what is a piece of one byte, and lets it wait
// otherwise.
type recorder struct {
	*script
	aborted chan struct{}
	taken   chan struct{} // closed once the background reader got a byte

	mu    sync.Mutex
	sizes []int
	idles []int // len(sizes) whenever net/http went idle
}

func (r *recorder) Read(p []byte) (int, error) {
	r.mu.Lock()
	r.sizes = append(r.sizes, len(p))
	r.mu.Unlock()
	if len(p) > 1 {
		return r.script.Read(p)
	}
	if len(r.pieces) == 0 || len(r.pieces[0]) > 1 {
		<-r.aborted
		return 0, os.ErrDeadlineExceeded
	}
	defer close(r.taken)
	return r.script.Read(p)
}

func (r *recorder) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		r.aborted <- struct{}{}
	}
	return nil
}

// TestAssumptionOnBufio repeats, without a tracker, what verify leans on: at the
// first Read after net/http went idle it asks for as much as at first, less what
// its bufio.Reader still holds. If this fails with a new release of Go, the
// package still loses nothing, but carries nothing either: see the next test.
func TestAssumptionOnBufio(t *testing.T) {

	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
	const chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name   string
		pieces []string // what each Read returns, at most
		left   []int    // of the next request in bufio, each time net/http goes idle
	}{
		{"nothing left", []string{get, get, get}, []int{0, 0, 0}},
		{"body on its own", []string{post, "abc", get}, []int{0, 0}},
		{"body in two", []string{post, "a", "bc", get}, []int{0, 0}},
		{"chunks", []string{chunked, "3\r\nab", "c\r\n0\r", "\n\r\n", get}, []int{0, 0}},
		{"header in two", []string{get[:9], get[9:], get}, []int{0, 0}},
		{"background read", []string{get, "G", get[1:], get}, []int{1, 0, 0}},
		{"crossed by 4", []string{post, "abc" + get[:4], get[4:]}, []int{4, 0}},
		{"crossed by 10", []string{get + get[:10], get[10:]}, []int{10, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaktest.Check(t)
			h := &hub{addr: scriptAddr{}, conns: make(chan net.Conn)}
			rec := &recorder{
				script:  newScript(nil, nil),
				aborted: make(chan struct{}, len(tt.pieces)),
				taken:   make(chan struct{}),
			}
			for _, p := range tt.pieces {
				rec.pieces = append(rec.pieces, []byte(p))
			}
			wait := slices.ContainsFunc(tt.pieces, func(p string) bool { return p == "G" })
			srv := &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					echo(w, r)
					if wait {
						<-rec.taken
					}
				}),
				ConnState: func(_ net.Conn, s http.ConnState) {
					if s == http.StateIdle {
						rec.mu.Lock()
						rec.idles = append(rec.idles, len(rec.sizes))
						rec.mu.Unlock()
					}
				},
			}
			ln, done := h.share(), make(chan error, 1)
			go func() { done <- srv.Serve(ln) }()
			h.conns <- rec
			rec.answers()
			srv.Close()
			<-done
			if len(rec.idles) != len(tt.left) {
				t.Fatalf("net/http went idle %d times, want %d (Reads of %v)", len(rec.idles), len(tt.left), rec.sizes)
			}
			for i, left := range tt.left {
				if got, want := rec.sizes[rec.idles[i]], rec.sizes[0]-left; got != want {
					t.Errorf("idle %d: net/http asked for %d bytes, want %d: bufio no longer fills its buffer as verify assumes (Reads of %v)", i, got, want, rec.sizes)
				}
			}
		})
	}
}

// TestAssumptionFails shows what becomes of a connection for which it does not
// hold: it is not carried, and ends politely.
func TestAssumptionFails(t *testing.T) {
	leaktest.Check(t)
	h := newHub(t)
	tr := New(&http.Server{Handler: http.HandlerFunc(echo)}, Options{IdleGrace: poll.Patience / 2})
	tr.readSize = 1000
	serve(t, tr, h.share())
	l := startLoad(t, h.addr.String(), 1)
	l.progress(t, 3)
	next := start(t, h.share(), &http.Server{Handler: http.HandlerFunc(echo)}, Options{})
	err := tr.Drain(drainContext(t), func(c Carried) error {
		return next.Adopt(c.Listener, c.Conn, c.ReadAhead)
	})
	if err != nil {
		t.Fatal(err)
	}
	l.progress(t, 3)
	l.check(t, true)
	for _, ta := range l.tallies {
		if ta.kind != "half close" && ta.kind != "new connections" && ta.closed.Load() != 1 {
			t.Errorf("%s: told %d times to close, want once", ta.kind, ta.closed.Load())
		}
	}
	if err := next.Drain(drainContext(t), nil); err != nil {
		t.Error(err)
	}
}
