package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
)

// TestMain makes the test binary the command itself, when a test runs it again.
func TestMain(m *testing.M) {
	if os.Getenv("LOADTEST_TEST_COMMAND") != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is loadtest with these arguments.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "LOADTEST_TEST_COMMAND=1")
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// echo answers a POST with its body and a GET with hello; /missing is not there.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/missing":
		http.NotFound(w, r)
	case r.Header.Get("X-Want") != "":
		_, _ = io.WriteString(w, r.Header.Get("X-Want"))
	case r.Method == "POST":
		_, _ = io.Copy(w, r.Body)
	default:
		_, _ = io.WriteString(w, "hello")
	}
})

func TestCommand(t *testing.T) {
	plain := httptest.NewServer(echo)
	defer plain.Close()
	secure := httptest.NewTLSServer(echo)
	defer secure.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: echo}
	go func() { _ = local.Serve(ln) }()
	defer local.Close()

	for _, test := range []struct {
		name           string
		args           string
		exit           int
		stdout, stderr string
	}{
		{"table", "-requests 20 -expect hello " + plain.URL, clean, "requests: ok 20, refused 0", ""},
		{"many flags", "-requests 20 -clients 2 -rate 500 -keepalive -timeout 1m -post-every 2 -body-size 99 -expect hello -echo " + plain.URL,
			clean, "2 clients, kept connections, open loop, 500 requests a second, one in 2 a POST of 99 bytes", ""},
		{"duration", "--duration=50ms --expect=hello " + plain.URL, clean, "refused 0", ""},
		{"header", "-requests 2 -header X-Want:jello -expect jello " + plain.URL, clean, "ok 2", ""},
		{"https", "-requests 2 -ca " + ca + " " + secure.URL, clean, "ok 2", ""},
		{"unix", "-requests 2 -expect hello -unix " + socket, clean, "http://localhost/, at " + socket, ""},
		{"wrong answer", "-requests 2 -expect jello " + plain.URL, failed, "wrong 2", ""},
		{"wrong digest", "-requests 2 -post-every 1 -digest " + plain.URL, failed, "SHA-256", ""},
		{"error status", "-requests 3 " + plain.URL + "/missing", failed, "status 404 Not Found", ""},
		{"unknown authority", "-requests 1 " + secure.URL, failed, "TLS handshake", ""},
		{"help", "-help", clean, "", "usage: loadtest [flags] URL"},
		{"no URL", "-requests 2", noRun, "", "0 arguments, want one URL"},
		{"two URLs", plain.URL + " " + plain.URL, noRun, "", "2 arguments, want one URL"},
		{"unknown flag", "-what " + plain.URL, noRun, "", "-what (loadtest -help lists the flags)"},
		{"bad number", "-clients x " + plain.URL, noRun, "", `invalid value "x" for flag -clients`},
		{"bad option", "-clients -1 " + plain.URL, noRun, "", "loadtest: option Clients: -1 is not between"},
		{"bad header", "-header X " + plain.URL, noRun, "", "want 'Name: value'"},
		{"no CA", "-ca " + dir + "/none " + secure.URL, noRun, "", "flag -ca: open"},
		{"bad CA", "-ca " + os.Args[0] + " " + secure.URL, noRun, "", "holds no certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, stdout, stderr := command(t, strings.Fields(test.args)...)
			_ = cmd.Run()
			if exit := cmd.ProcessState.ExitCode(); exit != test.exit {
				t.Errorf("exit status %d, want %d", exit, test.exit)
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) ||
				(test.stdout == "") != (stdout.Len() == 0) || (test.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("want %q and %q; stdout:\n%s\nstderr:\n%s", test.stdout, test.stderr, stdout, stderr)
			}
		})
	}
}

func needSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent a signal on this system")
	}
}

// TestInterrupted begins a phase by standard input, and ends the run by a
// signal while it would go on for an hour.
func TestInterrupted(t *testing.T) {
	needSignals(t)
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	defer server.Close()
	cmd, stdout, stderr := command(t, "-duration", "1h", "-rate", "100", "-phases", "-json", server.URL)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	w := bufio.NewWriter(in)
	_, _ = w.WriteString("restart\n\n  after \n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	for range 20 { // at 100 a second these are due in the last phase too
		<-asked
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var r loadtest.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	var names []string
	for _, p := range r.Phases {
		names = append(names, p.Name)
	}
	if strings.Join(names, " ") != "load restart after" || r.Total.Counts.OK < 20 || r.Total.Counts.Failed() > 0 {
		t.Errorf("phases %q, %+v; want load, restart and after, and none failed", names, r.Total.Counts)
	}
}

// TestInterruptedTwice has a server that never answers: the second signal does
// not wait for it.
func TestInterruptedTwice(t *testing.T) {
	needSignals(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cmd, stdout, stderr := command(t, "-requests", "1", "-timeout", "1h", "http://"+ln.Addr().String())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	// Different signals: the kernel merges equal ones that wait for delivery.
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if exit := cmd.ProcessState.ExitCode(); exit != failed || !strings.Contains(stdout.String(), "canceled 1") ||
		!strings.Contains(stderr.String(), "loadtest: ended after 1 requests: second signal") {
		t.Errorf("exit status %d, want %d; stdout:\n%s\nstderr:\n%s", exit, failed, stdout, stderr)
	}
}
