package supervisor

import (
	"fmt"
	"os"
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
