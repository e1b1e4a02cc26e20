package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A pkg is a package with its types, and the mutants of it.
type pkg struct {
	name    string // of its package clauses
	path    string // below the module
	dir     string
	fset    *token.FileSet
	files   []*source
	info    *types.Info
	types   *types.Package
	mutants []*mutant
}

// A source is a file of a package.
type source struct {
	path    string
	text    []byte
	ast     *ast.File
	mutated bool // whether mutants are made in it
	edits   []edit
}

// A mutant is one wrong change.
type mutant struct {
	number   int
	file     string // its path below the module
	line     int
	function string
	what     string
}

// key is what survivors.txt knows a mutant by: it has no line number, so that it holds
// when lines move.
func (m *mutant) key() string { return fmt.Sprintf("%s %s: %s", m.file, m.function, m.what) }

// load reads a package. Mutants are made in the files named, or in all.
func load(pattern string, only []string) (*pkg, error) {
	out, err := output("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles,Name,Module,DepOnly", pattern)
	if err != nil {
		return nil, err
	}
	exports := make(map[string]string)
	p := &pkg{fset: token.NewFileSet()}
	var names []string
	var full string
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var l struct {
			ImportPath, Export, Dir, Name string
			GoFiles                       []string
			DepOnly                       bool
			Module                        *struct{ Path string }
		}
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[l.ImportPath] = l.Export
		if !l.DepOnly {
			p.name, p.dir, names, full = l.Name, l.Dir, l.GoFiles, l.ImportPath
			p.path = strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, l.Module.Path), "/")
		}
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%s has no file %s", pattern, name)
		}
	}
	var files []*ast.File
	for _, name := range names {
		s := &source{path: filepath.Join(p.dir, name), mutated: len(only) == 0 || slices.Contains(only, name)}
		if s.text, err = os.ReadFile(s.path); err != nil {
			return nil, err
		}
		if s.ast, err = parser.ParseFile(p.fset, s.path, s.text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		p.files = append(p.files, s)
		files = append(files, s.ast)
	}
	p.info = &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})}
	p.types, err = conf.Check(full, p.fset, files, p.info)
	return p, err
}

// output runs a command, and returns what it writes.
func output(name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, args[0], err, stderr.Bytes())
	}
	return stdout.String(), nil
}
