package systemdtest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// InstallUnit writes the unit file /etc/systemd/system/name. systemd reads it
// before the next Systemctl, TrySystemctl or Property does its work, or when
// DaemonReload is called. A name such as "app.service.d/10-limits.conf" writes a
// drop-in.
func (m *Machine) InstallUnit(name, text string) {
	m.t.Helper()
	m.WriteFile("/etc/systemd/system/"+name, []byte(text), 0o644)
	m.changed.Store(true)
}

// InstallFile copies the host's file hostPath, such as a program from Build, to
// path inside the machine.
func (m *Machine) InstallFile(path, hostPath string, perm os.FileMode) {
	m.t.Helper()
	source, err := os.Open(hostPath)
	if err != nil {
		m.t.Fatalf("systemdtest: install %s: %v", path, err)
	}
	defer source.Close()
	m.replace(path, source, perm)
}

// WriteFile writes a file inside the machine and makes the folders it needs. A
// file that is there is replaced as a whole, so a program may be written anew
// while it runs. The mode is perm, whatever the umask.
func (m *Machine) WriteFile(path string, data []byte, perm os.FileMode) {
	m.t.Helper()
	m.replace(path, strings.NewReader(string(data)), perm)
}

func (m *Machine) replace(path string, content io.Reader, perm os.FileMode) {
	m.t.Helper()
	if err := replaceFile(m.Path(path), content, perm); err != nil {
		m.t.Fatalf("systemdtest: write %s: %v", path, err)
	}
}

func replaceFile(target string, content io.Reader, perm os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(target), ".holdfast-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(perm)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// ReadFile returns the content of a file inside the machine.
func (m *Machine) ReadFile(path string) []byte {
	m.t.Helper()
	data, err := os.ReadFile(m.Path(path))
	if err != nil {
		m.t.Fatalf("systemdtest: read %s: %v", path, err)
	}
	return data
}

// Path returns the path by which the host reaches p inside the machine, for as
// long as the machine runs. Symbolic links are followed as the machine would
// follow them; what does not exist is taken as it stands.
func (m *Machine) Path(p string) string {
	m.t.Helper()
	resolved, err := resolve(m.root, p)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	return resolved
}

// maxLinks is the kernel's bound on the links in one path, path_resolution(7).
const maxLinks = 40

// resolve returns the path below root that p means to a process whose root
// folder is root: the host would take an absolute link, such as /var/run, as
// one of its own.
func resolve(root, p string) (string, error) {
	done, left := "/", strings.Split(p, "/")
	for links := 0; len(left) > 0; {
		next := filepath.Join(done, left[0])
		left = left[1:]
		target, err := os.Readlink(root + next)
		if err != nil || next == done { // not a link, or ".", or nothing
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
