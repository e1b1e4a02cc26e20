//go:build unix

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	browserReplacements = 5
	browserBetween      = 20 // lines each way from one replacement to the next, at least
)

// A browser's WebSocket stays open when the chat is replaced, and what is said before,
// meanwhile and after arrives once, in order, in both directions.
func TestBrowser(t *testing.T) {
	chromium := findChromium(t)
	onSystemds(t, func(t *testing.T, ctx context.Context, m *systemdtest.Machine, way exampletest.Way) {
		friend := mustJoin(t, ctx, m.Dial, address, "lobby", "friend")
		out := serveOutside(t, m)
		browser := browse(t, chromium, out.URL+"/?nick=browser")

		// The friend answers each of the browser's lines by its number.
		var heard []string
		said := 0 // by the browser
		hear := func() string {
			line, err := friend.hear(ctx)
			if err != nil {
				t.Fatalf("the friend, who has heard %d lines of the browser: %v\n%s", said, err, browser)
			}
			heard = append(heard, line)
			if number, ok := strings.CutPrefix(line, "browser: "); ok && number != "end" {
				if said++; number != strconv.Itoa(said) {
					t.Fatalf("the friend heard %q, want number %d", line, said)
				}
				friend.mustSay(t, ctx, number)
			}
			return line
		}
		for i := range browserReplacements + 1 {
			for said < (i+1)*browserBetween {
				hear()
			}
			if i < browserReplacements {
				way.Replace()
			}
		}
		friend.mustSay(t, ctx, "end")
		for hear() != "browser: end" {
		}

		var got diary
		select {
		case got = <-out.diaries:
		case <-ctx.Done():
			t.Fatalf("the browser tells nothing: %v\n%s", context.Cause(ctx), browser)
		}
		if len(got.Closed) > 0 || got.Errors > 0 {
			t.Errorf("the WebSocket closed with %q and had %d errors, want none", got.Closed, got.Errors)
		}
		if !strings.HasPrefix(got.Status, "connected since ") {
			t.Errorf("the page says %q, want that it is connected", got.Status)
		}
		if n := out.sockets.Load(); n != 1 {
			t.Errorf("the browser opened %d WebSockets, want 1", n)
		}
		if got.Said != said {
			t.Errorf("the browser said %d lines, and the friend heard %d", got.Said, said)
		}
		if !slices.Equal(got.Heard, heard) {
			t.Errorf("browser and friend heard different things:\n%q\n%q", got.Heard, heard)
		}
		t.Logf("%d lines each way, %d times a %s", said, browserReplacements, way.Name)
	})
}

// A diary is what the script in the page saw.
type diary struct {
	Said   int
	Heard  []string
	Closed []string // code and reason of each close of the WebSocket
	Errors int
	Status string // what the page tells its user
}

// outside serves the chat on the host, where the browser runs, with the script
// added to the page.
type outside struct {
	*httptest.Server
	diaries chan diary
	sockets atomic.Int64 // WebSockets asked for
}

//go:embed testdata/browser.js
var script []byte

func serveOutside(t *testing.T, m *systemdtest.Machine) *outside {
	o := &outside{diaries: make(chan diary, 8)}
	inside := &url.URL{Scheme: "http", Host: address}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DialContext: m.Dial},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(inside)
			r.Out.Host = r.In.Host // the page's origin
			if r.In.URL.Path == "/ws" {
				o.sockets.Add(1)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path != "/" {
				return nil
			}
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(r.Body, strings.NewReader("<script>\n"), bytes.NewReader(script), strings.NewReader("</script>\n")), r.Body}
			r.Header.Del("Content-Length")
			r.ContentLength = -1
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /favicon.ico", http.NotFound)
	mux.HandleFunc("POST /diary", func(w http.ResponseWriter, r *http.Request) {
		var d diary
		if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
			d.Status = fmt.Sprintf("the diary: %v", err)
		}
		o.diaries <- d
	})
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Server.Close)
	return o
}

// findChromium returns the browser's path. Where there is none t is skipped, or
// fails if HOLDFAST_E2E is "require".
func findChromium(t *testing.T) string {
	path, err := exec.LookPath("chromium")
	if err == nil {
		return path
	}
	why := fmt.Sprintf("needs Debian's package chromium: %v", err)
	if os.Getenv("HOLDFAST_E2E") == "require" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// browse opens url in a headless browser until t ends, and returns what the
// browser says about it.
func browse(t *testing.T, chromium, url string) fmt.Stringer {
	dir, err := os.MkdirTemp("", "holdfast-browser-")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, which fails t for what a killed browser still writes.
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-breakpad", "--disable-sync", "--no-proxy-server",
		"--disable-background-timer-throttling", "--user-data-dir="+dir, url)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the browser is many processes
		cmd.Wait()
	})
	return out
}

// An output is what a command writes, readable meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
