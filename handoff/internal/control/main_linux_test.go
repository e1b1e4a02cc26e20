package control

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// helperVariable makes the test binary be a program of the tests. The arguments
// are the program's.
const helperVariable = "HOLDFAST_CONTROL_HELPER"

// helpers are those programs by name. What they return is their exit.
var helpers = map[string]func(ctx context.Context, args []string) error{
	"server": serverHelper,
	"reload": reloadHelper,
	"status": statusHelper,
	"images": imagesHelper,
	"carry":  carryHelper,
}

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(helperVariable)
	if !ok {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	helper, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no helper %q\n", name)
		os.Exit(2)
	}
	if err := helper(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serverHelper serves a fake until it is told to end.
func serverHelper(ctx context.Context, args []string) error {
	l, err := Listen(args[0])
	if err != nil {
		return err
	}
	return Serve(ctx, l, newFake(), Options{Version: "1.2.3", Report: func(err error) { fmt.Fprintln(os.Stderr, err) }})
}

// statusHelper prints the situation that the server at a path tells.
func statusHelper(ctx context.Context, args []string) error {
	s, err := status(ctx, args[0])
	fmt.Println(s.Situation)
	return err
}

// reloadHelper reloads, and says so.
func reloadHelper(ctx context.Context, args []string) error {
	c, err := Dial(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	v, err := c.Reload(ctx, ReloadRequest{})
	fmt.Println(v.Outcome)
	return err
}
