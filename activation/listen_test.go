package activation

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestListenFresh(t *testing.T) {
	leaktest.Check(t)
	s, err := Options{Env: map[string]string{}}.Inherit()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.Listen(t.Context(), "http", "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if _, err := s.Listen(t.Context(), "http", "tcp", l.Addr().String()); err == nil {
		t.Error("one address was bound twice")
	}
	l.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := s.Listen(ended, "http", "tcp", "localhost:0"); !errors.Is(err, context.Canceled) {
		if err == nil {
			l.Close()
		}
		t.Errorf("with an ended context: %v", err)
	}
}
