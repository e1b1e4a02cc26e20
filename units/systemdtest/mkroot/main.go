// Mkroot builds the root folders that package systemdtest boots other systemds
// from than the host's:
//
//	go run github.com/holdfast-go/holdfast/units/systemdtest/mkroot all
//	go run github.com/holdfast-go/holdfast/units/systemdtest/mkroot 252 257
//	go run github.com/holdfast-go/holdfast/units/systemdtest/mkroot -packages gunicorn,starman all
//
// Each is a small Debian release: bullseye has systemd 247, bookworm 252,
// trixie 257 and sid 262. They stand in $HOLDFAST_ROOTS, or in holdfast/roots in
// the user's cache folder, and take about 200 MB and half a minute each. One
// that stands already is left alone, unless its recipe has changed or -force is
// given; do not rebuild one while a test runs on it. With -packages they are other
// roots, for the tests that ask for just these packages in systemdtest.Options.
// podman is trixie's in bullseye and bookworm too, with the libraries that it needs:
// their own knows no quadlets. systemd stays theirs.
//
// It needs root, mmdebstrap, the keys of the Debian archive and a way to a
// mirror.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/units/systemdtest/internal/roots"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkroot:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("mkroot", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: mkroot [flags] all | %s ...\n", strings.Join(roots.Names(), " | "))
		flags.PrintDefaults()
	}
	force := flags.Bool("force", false, "build also what stands already")
	mirror := flags.String("mirror", roots.DefaultMirror, "the Debian `mirror` to take packages from")
	packages := flags.String("packages", "", "Debian `packages` to install too, with commas between them")
	verbose := flags.Bool("v", false, "print what mmdebstrap prints")
	timeout := flags.Duration("timeout", 20*time.Minute, "give up on a root after this time")
	flags.Parse(args)

	names := flags.Args()
	if len(names) == 0 {
		flags.Usage()
		return errors.New("which roots?")
	}
	if len(names) == 1 && names[0] == "all" {
		names = roots.Names()
	}
	var recipes []roots.Recipe
	for _, name := range names {
		r, err := roots.Find(name)
		if err != nil {
			return err
		}
		if *packages != "" {
			r = r.With(strings.Split(*packages, ","))
		}
		recipes = append(recipes, r)
	}
	folder, err := roots.Folder()
	if err != nil {
		return err
	}
	o := roots.Options{Force: *force, Mirror: *mirror}
	if *verbose {
		o.Log = os.Stderr
	}
	for _, r := range recipes {
		if err := build(ctx, r, folder, o, *timeout); err != nil {
			return err
		}
	}
	return nil
}

func build(ctx context.Context, r roots.Recipe, folder string, o roots.Options, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	built, err := r.Build(ctx, folder, o)
	if err != nil {
		return err
	}
	version, err := roots.Version(ctx, r.Path(folder))
	if err != nil {
		return err
	}
	how := "stands already"
	if built {
		how = fmt.Sprintf("built in %.0f s", time.Since(start).Seconds())
	}
	fmt.Printf("%s: systemd %d (%s), %s\n", r.Path(folder), version, r.Suite, how)
	if strconv.Itoa(version) != r.Name {
		fmt.Printf("note: Debian's %s has moved on from systemd %s to %d; HOLDFAST_SYSTEMD=%s means this one\n", r.Suite, r.Name, version, r.Name)
	}
	return nil
}
