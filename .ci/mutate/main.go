// Command mutate says which changes of the code no test notices. It makes many small
// wrong changes (mutants) of a package, one at a time, and runs the package's tests
// on each. A mutant that all tests pass on is a survivor: a test is missing, or the
// code does nothing that matters.
//
//	go run ./.ci/mutate ./handoff/internal/generation             # a package
//	go run ./.ci/mutate ./handoff/internal/control status.go      # a file of it
//	go run ./.ci/mutate -tests ./handoff/handoffd -run Reexec ./handoff/internal/supervisor state_linux.go
//
// It deletes statements, takes conditions and parts of them for true or false, moves
// the bounds of comparisons, swaps + and -, forgets fields of struct literals, drops
// cases and comes back without an error.
//
// survivors.txt beside this file lists the survivors that are known, each with the
// reason why it may live. One that it does not list, and a line of it that is not true
// any more, make the exit status 1.
//
// All mutants are compiled into one test binary, and an environment variable says
// which one is on, so a package is built once. Each test is first run alone to see
// which mutants it reaches; a mutant is then tried on the tests that reach it, the
// fastest first. gremlins and its like build each mutant anew, know no deletions and
// keep no reasons.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	var (
		tests    = flag.String("tests", "", "the packages whose tests are run, with commas between [the package itself]")
		run      = flag.String("run", "", "only the tests that match this")
		skip     = flag.String("skip", "", "not the tests that match this")
		only     = flag.String("func", "", "only mutants in functions that match this")
		list     = flag.Bool("list", false, "only list the mutants")
		known    = flag.String("survivors", "", "the file of known survivors [survivors.txt beside this program]")
		verbose  = flag.Bool("v", false, "say what killed each mutant")
		open     = flag.Bool("open", false, "run tests in the PID namespace of this process; what they leave behind stays")
		maxTests = flag.Int("max", 40, "how many tests, the fastest that reach it, a mutant is tried on")
	)
	flag.Parse()
	if flag.NArg() < 1 {
		fmt.Fprintln(os.Stderr, "usage: go run ./.ci/mutate [flags] PACKAGE [FILE.go ...]")
		os.Exit(2)
	}
	if err := mutate(options{
		pkg: flag.Arg(0), files: flag.Args()[1:], tests: *tests, run: *run, skip: *skip, only: *only,
		list: *list, known: *known, verbose: *verbose, open: *open, maxTests: *maxTests,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

type options struct {
	pkg                           string
	files                         []string
	tests, run, skip, only, known string
	list, verbose, open           bool
	maxTests                      int
}

func mutate(o options) error {
	p, err := load(o.pkg, o.files)
	if err != nil {
		return err
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	p.instrument(only)
	if o.list {
		for _, m := range p.mutants {
			fmt.Printf("%4d %s:%d %s\n", m.number, m.file, m.line, m.key())
		}
		return nil
	}
	path := o.known
	if path == "" {
		if path, err = beside("survivors.txt"); err != nil {
			return err
		}
	}
	reasons, err := readSurvivors(path)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := p.write(dir)
	if err != nil {
		return err
	}
	pkgs := []string{o.pkg}
	if o.tests != "" {
		pkgs = strings.Split(o.tests, ",")
	}
	r := &runner{dir: dir, open: o.open, verbose: o.verbose, maxTests: o.maxTests}
	for _, pkg := range pkgs {
		if err := r.build(overlay, pkg, o.run, o.skip); err != nil {
			return err
		}
	}
	if err := r.baseline(); err != nil {
		return err
	}
	survivors := r.try(p.mutants)
	return report(os.Stdout, p, survivors, reasons, o.only == "" && o.run == "" && o.skip == "" && o.tests == "")
}

// beside returns the path of a file in the folder of this program in the repository.
func beside(name string) (string, error) {
	root, err := output("go", "list", "-m", "-f", "{{.Dir}}", "github.com/holdfast-go/holdfast")
	return filepath.Join(strings.TrimSpace(root), ".ci", "mutate", name), err
}
