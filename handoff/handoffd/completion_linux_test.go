package main

import (
	"errors"
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

// TestCompletionShells: each shell has a script, and what is none is said.
func TestCompletionShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "pwsh"} {
		if out, err := command(t, "completion", shell).Output(); err != nil || !strings.Contains(string(out), "--generate-shell-completion") {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	for _, args := range []string{"man", "completion --help"} { // and not the library's text, whose lines would be filled
		if out, code := verb(t, strings.Fields(args)...); code != exitDone || !strings.Contains(out, "completion SHELL") || strings.Contains(out, "Output shell") {
			t.Errorf("%s exits with %d: %s", args, code, out)
		}
	}
	for args, want := range map[string]string{"": "no shell", "tcsh": "\"tcsh\": want bash"} {
		out, err := command(t, append([]string{"completion"}, strings.Fields(args)...)...).CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != exitUsage || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, %s, want %q and %d", args, err, out, want, exitUsage)
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
	printed, err := command(t, "completion", "bash").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, printed, 0o644); err != nil {
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
