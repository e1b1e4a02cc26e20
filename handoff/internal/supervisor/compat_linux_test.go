package supervisor

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/activation"
)

// bound returns sockets on these addresses, as ParseAddress reads them.
func bound(t *testing.T, addresses ...string) []activation.NamedFile {
	t.Helper()
	var sockets []activation.NamedFile
	for _, text := range addresses {
		a, err := ParseAddress("http=" + text)
		if err != nil {
			t.Fatal(err)
		}
		f, err := a.bind()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		sockets = append(sockets, activation.NamedFile{Name: a.Name, File: f})
	}
	return sockets
}

// port is that on which f listens.
func port(t *testing.T, f *os.File) string {
	t.Helper()
	k, err := activation.Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(k.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestServerStarterEnviron: as start_server writes it, with the numbers of LISTEN_FDS.
func TestServerStarterEnviron(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http")
	sockets := bound(t, "0.0.0.0:0", "127.0.0.1:0", "[::1]:0", path, "udp:127.0.0.1:0")
	null, err := os.Open(os.DevNull) // OpenFile= of systemd.service(5), say
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	sockets = slices.Insert(sockets, 1, activation.NamedFile{Name: "file", File: null})
	at := func(i int) string { return port(t, sockets[i].File) }
	want := []string{
		"SERVER_STARTER_PORT=" + strings.Join([]string{
			at(0) + "=3", "127.0.0.1:" + at(2) + "=5", "[::1]:" + at(3) + "=6", path + "=7", "127.0.0.1:" + at(5) + "=8",
		}, ";"),
		"SERVER_STARTER_GENERATION=7",
	}
	got, err := CompatServerStarter.environ(sockets, 7, 99)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
}

// TestEinhornEnviron: of both versions of the protocol.
func TestEinhornEnviron(t *testing.T) {
	want := []string{
		"EINHORN_MASTER_PID=99", "EINHORN_CHILD_INDEX=0", "EINHORN_FD_COUNT=2", "EINHORN_FD_0=3", "EINHORN_FD_1=4", "EINHORN_FDS=3 4",
	}
	got, err := CompatEinhorn.environ(bound(t, "127.0.0.1:0", "[::1]:0"), 7, 99)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
}

func TestCompatErrors(t *testing.T) {
	for _, name := range []string{"a=b", "a;b"} {
		path := filepath.Join(t.TempDir(), name)
		_, err := CompatServerStarter.environ(bound(t, path), 1, 1)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "fd 3") {
			t.Errorf("%s: got %v, want an error that names the path and the descriptor", name, err)
		}
		if _, err := CompatEinhorn.environ(bound(t, path+"2"), 1, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := Compat("").environ(bound(t, "127.0.0.1:0"), 1, 1); got != nil || err != nil {
		t.Errorf("without compat: %q, %v", got, err)
	}
	if c, err := ParseCompat("upstart"); err == nil || !strings.Contains(err.Error(), `"upstart"`) {
		t.Errorf("ParseCompat returns %q, %v", c, err)
	}
}

func TestReadEnvDir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("PLAIN", "a value\n")
	write("NO_NEWLINE", "b")
	write("LINES", "first\nsecond\n")
	write("BLANK", "\n")
	write("EMPTY", "")
	write("SPACES", "  c = \"d\" \n")
	write(".hidden", "no")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("PLAIN", filepath.Join(dir, "LINK")); err != nil {
		t.Fatal(err)
	}
	want := []string{"BLANK=", "LINES=first", "LINK=a value", "NO_NEWLINE=b", "PLAIN=a value", `SPACES=  c = "d" `}
	got, err := ReadEnvDir(dir)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
	long := "VALUE_" + strconv.Itoa(maxVariable)
	for name, text := range map[string]string{"NUL": "a\x00b", "not-a-name": "x", "1ST": "x", long: strings.Repeat("x", maxVariable+1)} {
		write(name, text)
		if _, err := ReadEnvDir(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
		os.Remove(filepath.Join(dir, name))
	}
	if _, err := ReadEnvDir(filepath.Join(dir, "absent")); err == nil {
		t.Error("a folder that is not there is no error")
	}
}
