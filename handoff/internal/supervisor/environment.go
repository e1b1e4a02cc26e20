package supervisor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ReadEnvironment reads a file of variables: one KEY=VALUE a line, empty lines and
// those that begin with # or ; left out. A value may be quoted by " or ', and is
// taken as it stands otherwise; no variable is expanded, and no line continued.
func ReadEnvironment(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	env, err := parseEnvironment(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return env, nil
}

func parseEnvironment(text string) ([]string, error) {
	var env []string
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || !validKey(key) {
			return nil, fmt.Errorf("line %d: %q: want KEY=VALUE", number, line)
		}
		if strings.IndexByte(value, 0) >= 0 {
			return nil, fmt.Errorf("line %d: the value of %s holds a NUL", number, key)
		}
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			if len(value) < 2 || value[len(value)-1] != value[0] {
				return nil, fmt.Errorf("line %d: the value of %s has no closing quote", number, key)
			}
			value = value[1 : len(value)-1]
		}
		env = append(env, key+"="+value)
	}
	return env, nil
}

// maxVariable is how long a variable may be: execve(2) takes no longer one.
const maxVariable = 128 << 10

// ReadEnvDir reads a folder of variables: each file is one, by its name, and its
// first line the value. Files whose name begins with a dot, empty ones and folders
// are left out.
func ReadEnvDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var env []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		line, err := firstLine(filepath.Join(dir, e.Name()))
		switch {
		case err != nil:
			return nil, err
		case line == "":
			continue
		case !validKey(e.Name()):
			return nil, fmt.Errorf("%s: %q is no name for a variable", dir, e.Name())
		}
		env = append(env, e.Name()+"="+strings.TrimSuffix(line, "\n"))
	}
	return env, nil
}

// firstLine returns the first line of a file and its end, and nothing of a folder.
func firstLine(path string) (string, error) {
	info, err := os.Stat(path) // what a symbolic link leads to
	if err != nil || info.IsDir() {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxVariable))
	if err != nil {
		return "", err
	}
	line, _, whole := strings.Cut(string(text), "\n")
	switch {
	case strings.IndexByte(line, 0) >= 0:
		return "", fmt.Errorf("%s: the value holds a NUL", path)
	case whole:
		line += "\n"
	case len(text) == maxVariable:
		return "", fmt.Errorf("%s: a variable has less than %d bytes", path, maxVariable)
	}
	return line, nil
}

func validKey(key string) bool {
	for i, c := range []byte(key) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return key != ""
}

// without returns env less the variables of those names.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		key, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, key)
	})
}
