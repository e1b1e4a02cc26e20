package check

import (
	"errors"
	"strings"
	"time"
)

// replaces: the program replaces itself while a line is under way in the old one. One
// that is under way in the new one goes on when the old one has gone.
func replaces(e *experiment) error {
	old := e.busy()
	first := e.m.Property("app.service", "MainPID")
	e.m.Systemctl("reload", "app.service")
	for end := time.Now().Add(time.Minute); strings.TrimSpace(e.m.Output("cat", "/run/unicorn.pid")) == first; {
		if time.Now().After(end) {
			e.t.Fatal("the program does not replace itself")
		}
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if err := errors.Join(e.ping(c), e.send(c, "pi")); err != nil {
		return err
	}
	e.must("the line of the old program", func() error { return errors.Join(e.send(old, "ng\n"), e.expect(old)) })
	if err := e.cut(c, moment); err != nil {
		return err
	}
	return errors.Join(e.send(c, "ng\n"), e.expect(c))
}

// adopted: handoffd reloads, and a line is under way in the new generation for longer
// than WatchdogSec=.
func adopted(e *experiment) error {
	e.busy()
	e.m.Systemctl("reload", "app.service")
	c, err := e.client()
	if err != nil {
		return err
	}
	if err := errors.Join(e.ping(c), e.send(c, "pi")); err != nil {
		return err
	}
	if err := e.cut(c, 7*time.Second); err != nil {
		return err
	}
	return errors.Join(e.send(c, "ng\n"), e.expect(c))
}
