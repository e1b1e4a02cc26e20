package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// readSurvivors reads the known ones: a line each, the mutant's key, " # " and the
// reason why it may live.
func readSurvivors(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	reasons := make(map[string]string)
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " # ")
		if at < 0 {
			return nil, fmt.Errorf("%s:%d: want KEY # REASON", path, i+1)
		}
		reasons[strings.TrimSpace(line[:at])] = strings.TrimSpace(line[at+3:])
	}
	return reasons, nil
}

// report says which survivors are not known. Where all tests have run it also says
// which known ones are dead.
func report(w io.Writer, p *pkg, survivors []*mutant, reasons map[string]string, all bool) error {
	lives, bad := make(map[string]bool), 0
	for _, m := range survivors {
		lives[m.key()] = true
		if reasons[m.key()] == "" {
			bad++
		}
	}
	if bad > 0 {
		fmt.Fprintf(w, "\n%d survivors have no reason in survivors.txt:\n", bad)
		for _, m := range survivors {
			if reasons[m.key()] == "" {
				fmt.Fprintf(w, "%s\n", m.key())
			}
		}
	}
	dead := 0
	for key := range reasons {
		file, _, _ := strings.Cut(key, " ")
		for _, s := range p.files {
			if all && s.mutated && !lives[key] && strings.HasSuffix(s.path, "/"+file) {
				dead++
				fmt.Fprintf(w, "survivors.txt lists what is dead or gone: %s\n", key)
			}
		}
	}
	if bad+dead > 0 {
		return fmt.Errorf("%d survivors without a reason, %d reasons without a survivor", bad, dead)
	}
	return nil
}
