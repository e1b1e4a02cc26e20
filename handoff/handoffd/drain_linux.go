package main

import (
	"context"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
)

func drainCommand() *cli.Command {
	return &cli.Command{
		Name:  "drain",
		Usage: "leave a load balancer's rotation",
		Description: "Every client that waits is served and every later one refused; none is reset. Then the\n" +
			"program ends, and the service waits for undrain: it stays active, and holds its\n" +
			"sockets. Clients of Unix sockets wait in the queue meanwhile. A stop, a restart and a\n" +
			"crash of handoffd bring the sockets back, too." + exitCodes,
		Flags: []cli.Flag{
			controlFlag(),
			&cli.DurationFlag{Name: "lame-duck", Usage: "for how long before that balancers are told, and clients still served"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			lameDuck := c.Duration("lame-duck")
			if lameDuck < 0 || lameDuck > control.MaxLameDuck {
				return usagef("drain: --lame-duck %v: want a duration of at most %v", lameDuck, control.MaxLameDuck)
			}
			return ask(ctx, c, func(client *control.Client) (control.Verdict, error) { return drain(ctx, client, lameDuck) })
		},
	}
}

// drain asks for it, and does what a service without privileges may not.
func drain(ctx context.Context, client *control.Client, lameDuck time.Duration) (control.Verdict, error) {
	status, err := client.Status(ctx)
	if err != nil {
		return control.Verdict{}, err
	}
	if strings.HasPrefix(status.Situation, "serving") {
		helping, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-time.After(lameDuck):
				// Where it fails the service says what it lacks.
				rotation.HoldOf(status.PID)
			case <-helping.Done():
			}
		}()
	}
	return client.Drain(ctx, lameDuck)
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
