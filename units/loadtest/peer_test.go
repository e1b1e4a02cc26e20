package loadtest

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestPythonServer measures a server that is not written in Go, and that speaks
// HTTP/1.0: it closes every connection.
func TestPythonServer(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip("python3 is not installed: ", err)
	}
	leaktest.Check(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", dir, "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	// Serving HTTP on 127.0.0.1 port 40000 (http://127.0.0.1:40000/) ...
	line, err := bufio.NewReader(out).ReadString('\n')
	_, rest, found := strings.Cut(line, "(")
	url, _, _ := strings.Cut(rest, ")")
	if err != nil || !found {
		t.Fatalf("it says %q, %v; want its URL in parentheses", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()

	for _, keepAlive := range []bool{false, true} {
		r, err := Run(t.Context(), Options{
			URL: url + "hello", Clients: 2, Requests: 50, KeepAlive: keepAlive, Timeout: time.Minute, Check: Equals("hello\n"),
		})
		if err != nil {
			t.Fatal(err)
		}
		c := r.Total.Counts
		if c.OK != 50 || c.Failed() != 0 || c.Connections != 50 {
			t.Errorf("keep-alive %v: %+v, want 50 OK on 50 connections; %v", keepAlive, c, r.Failures)
		}
		if keepAlive && c.Reconnected < 48 {
			t.Errorf("%d reconnected, want at least 48", c.Reconnected)
		}
		missing, err := Run(t.Context(), Options{URL: url + "none", Requests: 2, KeepAlive: keepAlive, Timeout: time.Minute})
		if err != nil || missing.Total.Counts.Status != 2 {
			t.Errorf("a file that is not there: %+v, %v; want 2 %s", missing.Total.Counts, err, http.StatusText(http.StatusNotFound))
		}
	}
}
