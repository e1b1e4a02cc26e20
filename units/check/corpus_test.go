package check

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A debianPackage is one whose units TestDebian reads.
type debianPackage struct{ suite, name, version string }

// corpusFolder is where the packages are unpacked: beside the roots of package
// systemdtest, in the user's cache folder.
func corpusFolder() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "holdfast", "debian-units"), err
}

func (p debianPackage) folder(corpus string) string {
	return filepath.Join(corpus, p.suite, p.name+"_"+strings.ReplaceAll(p.version, ":", "%3a"))
}

// fetchCorpus downloads those of the packages that are not in the folder, as
// HOLDFAST_CORPUS=fetch asks for, and returns those that are there. It skips the test
// where there is none, and says how to get them.
func fetchCorpus(t *testing.T, corpus string, all []debianPackage) (there []debianPackage) {
	t.Helper()
	missing := slices.DeleteFunc(slices.Clone(all), func(p debianPackage) bool { return exists(p.folder(corpus)) })
	if len(missing) > 0 && os.Getenv("HOLDFAST_CORPUS") == "fetch" {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		if err := download(ctx, t, corpus, missing); err != nil {
			t.Logf("some packages could not be had: %v", err)
		}
	}
	there = slices.DeleteFunc(slices.Clone(all), func(p debianPackage) bool { return !exists(p.folder(corpus)) })
	if len(there) == 0 {
		const advice = "the units of Debian's packages are not in the cache: HOLDFAST_CORPUS=fetch go test ./units/check -run TestDebian downloads them (70 MB, of which 1 MB is kept)"
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(advice)
		}
		t.Skip(advice)
	}
	return there
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// download gets packages with apt, from an index of its own, and unpacks their units.
func download(ctx context.Context, t *testing.T, corpus string, packages []debianPackage) error {
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		return err
	}
	work := t.TempDir()
	updated := make(map[string]bool)
	var failed []string
	for _, p := range packages {
		apt, err := aptOptions(filepath.Join(work, p.suite), p.suite)
		if err != nil {
			return err
		}
		if !updated[p.suite] {
			if out, err := exec.CommandContext(ctx, "apt-get", append(apt, "update")...).CombinedOutput(); err != nil {
				return fmt.Errorf("apt-get update of %s: %w: %s", p.suite, err, out)
			}
			updated[p.suite] = true
		}
		cmd := exec.CommandContext(ctx, "apt-get", append(apt, "download", p.name+"="+p.version)...)
		cmd.Dir = filepath.Join(work, p.suite, "debs")
		if out, err := cmd.CombinedOutput(); err != nil {
			failed = append(failed, fmt.Sprintf("%s=%s: %s", p.name, p.version, out))
			continue
		}
		if err := unpack(ctx, cmd.Dir, p.folder(corpus)); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", p.name, err))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d: %s", len(failed), len(packages), strings.Join(failed, "; "))
	}
	return nil
}

// aptOptions are those with which apt keeps everything of a suite in one folder, and
// touches nothing of the host's.
func aptOptions(dir, suite string) ([]string, error) {
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	sources := filepath.Join(dir, "sources.list")
	text := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n", suite)
	var options []string
	for _, o := range []string{
		"Dir::Etc::sourcelist=" + sources, "Dir::Etc::sourceparts=/dev/null", "Dir::State=" + filepath.Join(dir, "state"), "Dir::State::status=/dev/null",
		"Dir::Cache=" + filepath.Join(dir, "cache"), "Dir::Etc::preferences=/dev/null", "Dir::Etc::preferencesparts=/dev/null", "APT::Architecture=amd64", "APT::Sandbox::User=root",
		"Acquire::Languages=none", "Acquire::Retries=3",
	} {
		options = append(options, "-o", o)
	}
	return options, os.WriteFile(sources, []byte(text), 0o644)
}

// unpack keeps the units of the one package in a folder, and removes the package.
func unpack(ctx context.Context, debs, to string) error {
	all, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(all) != 1 {
		return fmt.Errorf("%d packages were downloaded: %w", len(all), err)
	}
	defer os.Remove(all[0])
	whole, err := os.MkdirTemp(filepath.Dir(debs), "whole-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(whole)
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", all[0], whole).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, out)
	}
	part := to + ".part"
	defer os.RemoveAll(part)
	for _, kind := range []string{"system", "user"} {
		for _, lib := range []string{"lib", "usr/lib"} {
			units := filepath.Join(whole, lib, "systemd", kind)
			if !exists(units) {
				continue
			}
			if err := os.MkdirAll(part, 0o755); err != nil {
				return err
			}
			if out, err := exec.CommandContext(ctx, "cp", "-a", units, part).CombinedOutput(); err != nil {
				return fmt.Errorf("cp: %w: %s", err, out)
			}
		}
	}
	return os.Rename(part, to)
}
