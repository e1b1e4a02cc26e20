package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// serve serves s until the test ends, and returns the path and what ends it.
func serve(t *testing.T, s Supervisor, o Options) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, serveOn(t, l, s, o)
}

func serveOn(t *testing.T, l *Listener, s Supervisor, o Options) (stop func()) {
	t.Helper()
	return serveBy(t, NewServer(s, o), l)
}

func serveBy(t *testing.T, s *Server, l *Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop = func() {
		cancel()
		select {
		case err, first := <-ended:
			if first {
				close(ended)
			}
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(poll.Patience):
			t.Fatal("Serve did not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// connect dials for the test.
func connect(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(bounded(t), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// bounded returns a context for calls that are to succeed.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	t.Cleanup(cancel)
	return ctx
}

func TestCalls(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	c, ctx := connect(t, path), bounded(t)

	got, err := c.Status(ctx)
	if want, _, _ := s.Status(ctx); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Status: %+v, %v\nwant %+v", got, err, want)
	}
	if v, err := c.Reload(ctx, ReloadRequest{}); err != nil || v.Outcome != Done || v.Generation != 8 || !v.Time.Equal(someTime) {
		t.Errorf("Reload: %+v, %v", v, err)
	}
	if _, err := c.Commit(ctx); !errors.Is(err, ErrNotHeld) {
		t.Errorf("Commit of nothing: %v", err)
	}
	for action, end := range map[Action]func(context.Context) (Verdict, error){ActionCommit: c.Commit, ActionAbort: c.Abort} {
		if v, err := c.Reload(ctx, ReloadRequest{Hold: true, Program: newProgram}); err != nil || v.Outcome != Held {
			t.Errorf("Reload and hold: %+v, %v", v, err)
		}
		if v, err := end(ctx); err != nil || v.Outcome != Done || v.Action != action {
			t.Errorf("%s of a held reload: %+v, %v", action, v, err)
		}
	}
	if _, err := c.Reload(ctx, ReloadRequest{DryRun: true}); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if v, err := c.Drain(ctx, 1500*time.Millisecond); err != nil || v.Action != ActionDrain || s.lameDuck != 1500*time.Millisecond {
		t.Errorf("Drain: %+v, %v, after %v", v, err, s.lameDuck)
	}
	if _, err := c.Drain(ctx, 2*MaxLameDuck); !errors.Is(err, ErrInvalid) {
		t.Errorf("Drain after too long: %v", err)
	}
	if v, err := c.Undrain(ctx); err != nil || v.Action != ActionUndrain {
		t.Errorf("Undrain: %+v, %v", v, err)
	}
	want := []ReloadRequest{{}, {Hold: true, Program: newProgram}, {Hold: true, Program: newProgram}, {DryRun: true}}
	if got := s.requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("the supervisor was asked for %+v, want %+v", got, want)
	}
}

func TestUndone(t *testing.T) {
	leaktest.Check(t)
	path, _ := serve(t, newFake(), Options{})
	c, ctx := connect(t, path), bounded(t)
	_, err := c.Reload(ctx, ReloadRequest{Program: badProgram})
	undone, ok := errors.AsType[*UndoneError](err)
	if !ok || !errors.Is(err, ErrUndone) {
		t.Fatalf("Reload of a bad program: %v", err)
	}
	want := UndoneError{Generation: 8, Reason: "exit status 1", Output: []string{"cannot open the database", "goodbye"}}
	if !reflect.DeepEqual(*undone, want) {
		t.Errorf("got %+v, want %+v", *undone, want)
	}
	if want := "control: reload: generation 8 was undone: exit status 1"; err.Error() != want {
		t.Errorf("the error reads %q, want %q", err, want)
	}
	if s, err := c.Status(ctx); err != nil || !errors.Is(s.LastVerdict.Err(), ErrUndone) {
		t.Errorf("the verdict is not kept: %+v, %v", s.LastVerdict, err)
	}
}

func TestErrorsCross(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	c, ctx := connect(t, path), bounded(t)
	sentinels := []error{ErrUndone, ErrRefused, ErrNotHeld, ErrStopping, ErrPermission, ErrTooManyClients, ErrInvalid, ErrTooLarge}
	for _, err := range append(sentinels, errors.New("the disk is on fire")) {
		sent := errors.Join(err, errors.New("and more"))
		calls := map[string]func() error{
			"reload": func() error { _, err := c.Reload(ctx, ReloadRequest{}); return err },
			"commit": func() error { _, err := c.Commit(ctx); return err },
			"abort":  func() error { _, err := c.Abort(ctx); return err },
			"status": func() error { _, err := c.Status(ctx); return err },
		}
		for name, call := range calls {
			s.fail(sent)
			got := call()
			if got == nil || !strings.HasPrefix(got.Error(), "control: "+name+": ") || !strings.Contains(got.Error(), sent.Error()) {
				t.Errorf("%s: the supervisor's %q became %v", name, sent, got)
			}
			for _, sentinel := range sentinels {
				if errors.Is(got, sentinel) != errors.Is(err, sentinel) {
					t.Errorf("%s: the supervisor's %q became %q, which errors.Is takes for %q", name, err, got, sentinel)
				}
			}
		}
	}
}

func TestRefusedVerdict(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	s.reload = func(context.Context, ReloadRequest) (Verdict, error) {
		return Verdict{Outcome: Refused, Reason: "no room"}, nil
	}
	path, _ := serve(t, s, Options{})
	if _, err := connect(t, path).Reload(bounded(t), ReloadRequest{}); !errors.Is(err, ErrRefused) || !strings.HasSuffix(err.Error(), ": no room") {
		t.Errorf("a refused verdict became %v", err)
	}
}

func TestInvalidRequests(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	c, ctx := connect(t, path), bounded(t)
	for _, bad := range []struct {
		request any
		names   string
	}{
		{ReloadRequest{Program: "app"}, `"program"`},
		{ReloadRequest{Program: "/app\x00"}, `"program"`},
		{ReloadRequest{Program: "/" + strings.Repeat("a", maxPath)}, `"program"`},
		{ReloadRequest{Hold: true, DryRun: true}, `"dryRun"`},
		{map[string]any{"hodl": true}, `"hodl"`},
		{map[string]any{"hold": "yes"}, `"hold"`},
		{map[string]any{"HOLD": true}, `"HOLD"`},
		{[]int{1}, `"parameters"`},
	} {
		if err := c.call(ctx, "Reload", bad.request, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), bad.names) {
			t.Errorf("%v: %v, want ErrInvalid that names %s", bad.request, err, bad.names)
		}
	}
	if err := c.call(ctx, "Status", map[string]any{"hold": true}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("Status with a parameter: %v", err)
	}
	if err := c.call(ctx, "Monitor", nil, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "'more'") {
		t.Errorf("Monitor for one answer: %v", err)
	}
	if err := c.call(ctx, "Fly", nil, nil); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), Interface+".Fly") {
		t.Errorf("an unknown method: %v", err)
	}
	if asked := s.requests(); len(asked) != 0 {
		t.Errorf("the supervisor was asked all the same: %v", asked)
	}
}

func TestNullParameters(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	c := connect(t, path)
	for _, p := range []any{nil, map[string]any{}, map[string]any{"hold": nil, "program": nil, "dryRun": nil}} {
		if err := c.call(bounded(t), "Reload", p, nil); err != nil {
			t.Errorf("parameters %v: %v", p, err)
		}
	}
	if got := s.requests(); !reflect.DeepEqual(got, make([]ReloadRequest, 3)) {
		t.Errorf("asked for %v", got)
	}
}

func TestCallerThatVanishes(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	begun, finish, finished := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s.reload = func(ctx context.Context, _ ReloadRequest) (Verdict, error) {
		close(begun)
		<-finish
		finished <- ctx.Err()
		return Verdict{Outcome: Done}, nil
	}
	path, _ := serve(t, s, Options{})
	c := connect(t, path)
	ctx, cancel := context.WithCancel(bounded(t))
	returned := make(chan error, 1)
	go func() {
		_, err := c.Reload(ctx, ReloadRequest{})
		returned <- err
	}()
	<-begun
	cancel()
	if err := <-returned; !errors.Is(err, context.Canceled) {
		t.Errorf("Reload returned %v, want that of its context", err)
	}
	if _, err := c.Status(bounded(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the next call on the connection: %v, want net.ErrClosed", err)
	}
	close(finish)
	if err := <-finished; err != nil {
		t.Errorf("the reload was cancelled: %v", err)
	}
}

func TestStopAnswersCallers(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	begun := make(chan struct{})
	s.reload = func(ctx context.Context, _ ReloadRequest) (Verdict, error) {
		close(begun)
		<-ctx.Done()
		return Verdict{}, ctx.Err()
	}
	path, stop := serve(t, s, Options{})
	c, monitor := connect(t, path), connect(t, path)
	idle := connect(t, path)
	returned, monitored := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.Reload(bounded(t), ReloadRequest{})
		returned <- err
	}()
	told := make(chan struct{}, 9)
	go func() {
		var last error
		for _, err := range monitor.Monitor(bounded(t)) {
			last = err
			told <- struct{}{}
		}
		monitored <- last
	}()
	<-begun
	<-told
	stop()
	for _, ch := range []chan error{returned, monitored} {
		if err := <-ch; !errors.Is(err, ErrStopping) {
			t.Errorf("who waited got %v, want ErrStopping", err)
		}
	}
	if _, err := idle.Status(bounded(t)); !errors.Is(err, ErrGone) {
		t.Errorf("who had asked nothing got %v, want ErrGone", err)
	}
	if _, err := Dial(bounded(t), path); !errors.Is(err, ErrNoServer) {
		t.Errorf("Dial afterwards: %v, want ErrNoServer", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's path is left: %v", err)
	}
}
