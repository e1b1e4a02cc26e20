package resource

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestServerFails: a server that stops serving ends the service, unless it was told to.
func TestServerFails(t *testing.T) {
	leaktest.Check(t)
	for _, told := range []bool{true, false} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{}
		returned := make(chan struct{})
		s := NewServer(testEnv(), ln, "", servingThatTells{srv, returned})
		failed := make(chan error, 1)
		p := NewPeriod()
		p.Fail = func(err error) { failed <- err }
		s.Start(p)
		if !told {
			srv.Close()
			if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("it ended with %v", err)
			}
			continue
		}
		s.StopAccepting(true)
		if err := s.Drain(t.Context(), p); err != nil {
			t.Error(err)
		}
		<-returned
		select {
		case err := <-failed:
			t.Errorf("its end is a failure: %v", err)
		default:
		}
	}
}

// servingThatTells closes a channel when Serve returns.
type servingThatTells struct {
	*http.Server
	returned chan struct{}
}

func (s servingThatTells) Serve(ln net.Listener) error {
	defer close(s.returned)
	return s.Server.Serve(ln)
}
