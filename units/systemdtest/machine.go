package systemdtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Machine is a running systemd with namespaces of its own.
type Machine struct {
	t       testing.TB
	group   string // the cgroup that is the root of the machine's hierarchy
	pid     int    // its PID 1, as the host counts
	root    string // its root folder, seen from the host
	version int
	tools   tools
	reaper  *reaper
	console *console
	network *network

	exited chan struct{} // closed when PID 1 has ended
	exit   error         // how, once exited is closed

	commands atomic.Int64
	changed  atomic.Bool // units were written that systemd has not read
}

// commandTimeout bounds what the rig itself runs inside a machine. It is longer
// than the 90 s that systemd gives a unit to start or stop.
const commandTimeout = 4 * time.Minute

// Version is the machine's version of systemd, such as 257.
func (m *Machine) Version() int { return m.version }

// InstallUnit writes /etc/systemd/system/name. The next Systemctl or
// TrySystemctl reloads the manager first. A name such as
// "app.service.d/10-limits.conf" writes a drop-in.
func (m *Machine) InstallUnit(name, text string) {
	m.t.Helper()
	m.WriteFile("/etc/systemd/system/"+name, []byte(text), 0o644)
	m.changed.Store(true)
}

// InstallFile copies the host's file hostPath to path inside the machine.
func (m *Machine) InstallFile(path, hostPath string, perm os.FileMode) {
	m.t.Helper()
	data, err := os.ReadFile(hostPath)
	if err != nil {
		m.t.Fatalf("systemdtest: install %s: %v", path, err)
	}
	m.WriteFile(path, data, perm)
}

// WriteFile writes a file inside the machine and makes the folders it needs. A
// file that exists is replaced as a whole, so that a program can be replaced
// while it runs.
func (m *Machine) WriteFile(path string, data []byte, perm os.FileMode) {
	m.t.Helper()
	target := m.Path(path)
	if err := writeFile(target, data, perm); err != nil {
		m.t.Fatalf("systemdtest: write %s: %v", path, err)
	}
}

func writeFile(target string, data []byte, perm os.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(target), ".holdfast-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if e := f.Chmod(perm); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}

// ReadFile returns what is in a file inside the machine.
func (m *Machine) ReadFile(path string) []byte {
	m.t.Helper()
	data, err := os.ReadFile(m.Path(path))
	if err != nil {
		m.t.Fatalf("systemdtest: read %s: %v", path, err)
	}
	return data
}

// Path returns the host's path of the machine's file p. Symbolic links in it
// are followed as the machine would follow them.
func (m *Machine) Path(p string) string {
	m.t.Helper()
	resolved, err := resolve(m.root, p)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	return resolved
}

// resolve returns the path below root that p means to a process whose root
// folder is root. What does not exist is taken as it stands.
func resolve(root, p string) (string, error) {
	const maxLinks = 40 // as in path_resolution(7)
	done, left := "/", strings.Split(p, "/")
	for links := 0; len(left) > 0; {
		name := left[0]
		left = left[1:]
		next := filepath.Join(done, name)
		target, err := os.Readlink(root + next)
		if err != nil || name == "" || name == "." || name == ".." {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("path %s: too many symbolic links", p)
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		left = append(strings.Split(target, "/"), left...)
	}
	return root + done, nil
}

// Dial connects from inside the machine's network namespace.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(network, "unix") && !strings.HasPrefix(address, "@") && !strings.HasPrefix(address, "\x00") {
		path, err := resolve(m.root, address)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, path)
	}
	return m.network.dial(ctx, network, address)
}

// end tears the machine down.
func (m *Machine) end() {
	if m.t.Failed() && m.console != nil {
		m.t.Logf("systemdtest: the machine of the failed test:\n%s", m.diagnosis())
	}
	if m.network != nil {
		m.network.close()
	}
	if err := m.reaper.reap(); err != nil {
		m.t.Errorf("systemdtest: %v", err)
	}
	if m.pid != 0 {
		<-m.exited
	}
	if m.console != nil {
		m.console.close()
	}
}
