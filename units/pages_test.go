package units

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages returns each README.md of the repository with its text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && e.Name() == ".git" {
			return fs.SkipDir
		}
		if e.Name() != "README.md" {
			return nil
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("%d pages, want at least 5", len(found))
	}
	return found
}

// TestFrontPage: the first page is for a newcomer, and stays short.
func TestFrontPage(t *testing.T) {
	text := pages(t)["../README.md"]
	if len(text) > 8<<10 {
		t.Errorf("README.md has %d bytes, want at most %d: what belongs into a folder's README.md?", len(text), 8<<10)
	}
	first := strings.Split(text, "\n")[2]
	if n := len(strings.Fields(first)); n == 0 || n > 20 {
		t.Errorf("the first sentence has %d words, want 1 to 20: %q", n, first)
	}
}

var (
	pageLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pageHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor = regexp.MustCompile(`[^a-z0-9 -]`)
)

// anchors returns what a heading of text can be linked by.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	for _, h := range pageHeading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return all
}

// TestPagesLinks: every link between pages, and from a page to a folder, leads
// somewhere.
func TestPagesLinks(t *testing.T) {
	all := pages(t)
	links := 0
	for page, text := range all {
		for _, m := range pageLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			target, anchor, _ := strings.Cut(m[1], "#")
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if anchor != "" && !anchors(all[path])[anchor] {
				t.Errorf("%s links to %s: there is no such heading", page, m[1])
			}
		}
	}
	if links < 30 {
		t.Errorf("%d links, want at least 30", links)
	}
}

// pageCommand is a go command in a code block or in a table, up to its end.
var pageCommand = regexp.MustCompile("\\bgo (?:test|run|build)\\b[^\n`#;&]*")

// TestPagesCommands: the packages of every go command on a page are there, and so
// are the tests that it runs.
func TestPagesCommands(t *testing.T) {
	commands := 0
	for page, text := range pages(t) {
		for _, command := range pageCommand.FindAllString(text, -1) {
			commands++
			if err := checkCommand(command); err != nil {
				t.Errorf("%s: %s: %v", page, strings.TrimSpace(command), err)
			}
		}
	}
	if commands < 15 {
		t.Errorf("%d commands, want at least 15", commands)
	}
}

// checkCommand says what of a go command is not in this repository.
func checkCommand(command string) error {
	var folders, patterns []string
	words := strings.Fields(strings.ReplaceAll(command, `\|`, "|")) // as a table has it
	for i, word := range words {
		if folder, ok := strings.CutPrefix(word, "./"); ok {
			folder = strings.TrimSuffix(strings.TrimSuffix(folder, "..."), "/")
			folders = append(folders, filepath.Join("..", folder))
		}
		if (word == "-run" || word == "-bench" || word == "-fuzz") && i+1 < len(words) {
			if pattern := strings.Trim(words[i+1], "'"); pattern != "^$" {
				patterns = append(patterns, strings.Split(pattern, "|")...)
			}
		}
	}
	if len(folders) == 0 {
		return fmt.Errorf("names no package")
	}
	var tests []byte
	for _, folder := range folders {
		if _, err := os.Stat(folder); err != nil {
			return err
		}
		files, _ := filepath.Glob(filepath.Join(folder, "*_test.go"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			tests = append(tests, text...)
		}
	}
	for _, pattern := range patterns {
		test, err := regexp.Compile(`(?m)^func (?:Test|Benchmark|Fuzz)?\w*` + pattern + `\w*\(\w+ \*testing\.`)
		if err != nil {
			return err
		}
		if !test.Match(tests) {
			return fmt.Errorf("no test matches %q", pattern)
		}
	}
	return nil
}
