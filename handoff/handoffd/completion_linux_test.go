package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompletion: what the scripts of `handoffd completion` ask for.
func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{"": "reload:", "reload --d": "--dry-run:", "run --dr": "--drain-timeout:"} {
		cmd := command(t, append(strings.Fields(args), "--generate-shell-completion")...)
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q is completed by %q, %v, want %q", args, out, err, want)
		}
	}
}

// TestCompletionBash completes command lines, the last word of each, in a bash without
// the package bash-completion.
func TestCompletionBash(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(completionBash), 0o644); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(dir, "ran")
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"ch"}, "check"},
		{[]string{"he"}, "help"},
		{[]string{"check", "--j"}, "--json"},
		{[]string{"check", ""}, ""}, // files, by bash
		{[]string{"run", "--dr"}, "--drain-timeout"},
		{[]string{"check", "$(touch " + ran + ")", ">", ran, "--f"}, "--fix"},
		{[]string{"run", "--ready", "exec", "--no-sockets", "--", "/usr/bin/touch", ran, ""}, ""},
	} {
		handoffd := command(t)
		bash := exec.Command("bash", append([]string{"--norc", "-c",
			`. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _handoffd; echo "${COMPREPLY[*]}"`,
			script, handoffd.Path}, c.words...)...)
		bash.Env = handoffd.Env
		out, err := bash.CombinedOutput()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != c.want {
			t.Errorf("%q is completed by %q, %v, want %q", c.words, got, err, c.want)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Fatalf("completing %q runs what is in it", c.words)
		}
	}
}
