package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/tools"
	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
)

func drainCommand() *cli.Command {
	return &cli.Command{
		Name:  "drain",
		Usage: "leave a load balancer's rotation",
		Description: "Every client that waits is served and every later one refused; none is reset. Then the\n" +
			"program ends, and the service waits for undrain: it stays active, and holds its\n" +
			"sockets, also those of units that --stop-socket has stopped. Clients of Unix sockets\n" +
			"wait in the queue meanwhile. A stop, a restart and a crash of handoffd bring the\n" +
			"sockets back, too, where their units run." + exitCodes,
		Flags: []cli.Flag{
			controlFlag(),
			&cli.BoolFlag{Name: "stop-socket", Usage: "stop the socket units of the service, too: the port is closed when that stops"},
			&cli.DurationFlag{Name: "lame-duck", Usage: "for how long before that balancers are told, and clients still served"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			lameDuck := c.Duration("lame-duck")
			if lameDuck < 0 || lameDuck > control.MaxLameDuck {
				return usagef("drain: --lame-duck %v: want a duration of at most %v", lameDuck, control.MaxLameDuck)
			}
			return ask(ctx, c, func(client *control.Client) (control.Verdict, error) {
				return drain(ctx, client, controlPath(c), lameDuck, c.Bool("stop-socket"))
			})
		},
	}
}

// drain asks for it, and does what a service without privileges may not.
func drain(ctx context.Context, client *control.Client, path string, lameDuck time.Duration, stopSocket bool) (control.Verdict, error) {
	status, err := client.Status(ctx)
	if err != nil {
		return control.Verdict{}, err
	}
	helped := help(ctx, path, lameDuck)
	v, err := client.Drain(ctx, lameDuck)
	if helped() && errors.Is(err, control.ErrUndone) {
		client.Undrain(ctx) // it may have come back before it was helped to leave
	}
	if err == nil && stopSocket {
		if err = tools.StopSockets(ctx, status.PID); err != nil {
			err = fmt.Errorf("the service is out of the rotation; %w", err)
		}
	}
	return v, err
}

// help holds the listeners of the service once it leaves, and not before: one that
// refuses to leave would not open them again. stop ends that, and reports whether it
// was done.
func help(ctx context.Context, path string, lameDuck time.Duration) (stop func() (held bool)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan bool, 1)
	go func() {
		select {
		case <-time.After(lameDuck):
			done <- holdWhenLeaving(ctx, path)
		case <-ctx.Done():
			done <- false
		}
	}()
	return func() bool {
		cancel()
		return <-done
	}
}

func holdWhenLeaving(ctx context.Context, path string) (held bool) {
	client, err := control.Dial(ctx, path)
	if err != nil {
		return false
	}
	defer client.Close()
	for status, err := range client.Monitor(ctx) {
		if err == nil && strings.HasPrefix(status.Situation, "leaving") {
			n, _ := rotation.HoldOf(status.PID) // where it fails the service says what it lacks
			return n > 0
		}
	}
	return false
}

func undrainCommand() *cli.Command {
	return &cli.Command{
		Name:        "undrain",
		Usage:       "come back into the rotation after drain",
		Description: "Returns when a generation serves. Before drain is done, it is undone." + exitCodes,
		Flags:       []cli.Flag{controlFlag()},
		Action: func(ctx context.Context, c *cli.Command) error {
			return ask(ctx, c, func(client *control.Client) (control.Verdict, error) { return client.Undrain(ctx) })
		},
	}
}
