package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// begunNumber is that of the call which is under way when the program is replaced.
const begunNumber = 5

// carriedVariable holds what an image left for the next one: the clients, and the
// descriptors of the listener and of their connections.
const carriedVariable = "HOLDFAST_CONTROL_CARRIED"

type carriedClients struct {
	Clients     []Carried
	Descriptors []int
}

// carryHelper is a server that replaces its own program and carries its clients
// over. Its argument is the path of the socket.
func carryHelper(ctx context.Context, args []string) error {
	s := newFake()
	s.reload = func(ctx context.Context, r ReloadRequest) (Verdict, error) {
		call := CallOf(ctx)
		if r.Program == newProgram {
			return Verdict{Outcome: Done, Generation: call.Number()}, nil // it is 0
		}
		if _, second := os.LookupEnv(carriedVariable); !second {
			call.Begun(begunNumber)
			s.change(func(st *Status) { st.Generations[0].Carried++ }) // so that the test knows
			<-ctx.Done()
			return Verdict{}, ctx.Err()
		}
		if number := call.Number(); number != begunNumber {
			return Verdict{}, fmt.Errorf("the call has the number %d, and was begun as %d", number, begunNumber)
		}
		return Verdict{Outcome: Done, Generation: begunNumber}, nil
	}
	var o Options
	var l *Listener
	var err error
	if text, ok := os.LookupEnv(carriedVariable); ok {
		s.status.Reexecs = 1
		l, o.Carried, err = carriedOver(text)
	} else {
		l, err = Listen(args[0])
	}
	if err != nil {
		return err
	}
	srv := NewServer(s, o)
	s.reexec = func(context.Context) error {
		clients, thaw, err := srv.Freeze([]uint64{begunNumber})
		if err != nil {
			return err
		}
		defer thaw()
		return carryOn(l, clients)
	}
	return srv.Serve(ctx, l)
}

func carryOn(l *Listener, clients []Carried) error {
	f, err := l.File()
	if err != nil {
		return err
	}
	c := carriedClients{Clients: clients, Descriptors: []int{int(f.Fd())}}
	for _, client := range clients {
		c.Descriptors = append(c.Descriptors, int(client.Conn.Fd()))
	}
	for _, fd := range c.Descriptors {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), carriedVariable+"="+string(text)))
}

func carriedOver(text string) (*Listener, []Carried, error) {
	var c carriedClients
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, nil, err
	}
	for i := range c.Clients {
		c.Clients[i].Conn = os.NewFile(uintptr(c.Descriptors[i+1]), "client "+strconv.Itoa(i))
	}
	f := os.NewFile(uintptr(c.Descriptors[0]), "listener")
	defer f.Close()
	l, err := FileListener(f)
	return l, c.Clients, err
}

// TestCarry: clients stay connected when the program of the server is replaced, and
// what they wait for comes.
func TestCarry(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "control")
	cmd := start(t, "carry", path)
	poll.Until(t, "the server listens", func() bool {
		c, err := Dial(bounded(t), path)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	idle := connect(t, path)
	if _, err := idle.Status(bounded(t)); err != nil {
		t.Fatal(err)
	}
	// One that has sent the next call already, behind that which is answered.
	eager, err := dial(bounded(t), path)
	if err != nil {
		t.Fatal(err)
	}
	defer eager.Close()
	calls := `{"method":"` + Interface + `.Reload"}` + "\x00" + `{"method":"` + Interface + `.Status"}` + "\x00"
	if _, err := eager.Write([]byte(calls)); err != nil {
		t.Fatal(err)
	}
	reloaded := make(chan Verdict, 1)
	waiting := connect(t, path)
	go func() {
		v, err := waiting.Reload(bounded(t), ReloadRequest{})
		if err != nil {
			t.Errorf("the reload: %v", err)
		}
		reloaded <- v
	}()
	watching := connect(t, path)
	var seen []uint64
	asked, begun := false, newFake().status.Generations[0].Carried+2
	for s, err := range watching.Monitor(bounded(t)) {
		if err != nil {
			t.Fatalf("the monitor: %v", err)
		}
		if seen = append(seen, s.Reexecs); s.Reexecs == 1 {
			break
		}
		if !asked && s.Generations[0].Carried == begun { // both reloads are under way
			asked = true
			if err := Reexec(bounded(t), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("the monitor has seen %v", seen)
	}
	// It was begun, and is answered once.
	if v := <-reloaded; v.Generation != begunNumber {
		t.Errorf("the reload was answered with %+v", v)
	}
	c := &Client{conn: eager, r: bufio.NewReader(eager)}
	var reload verdictReply
	var status statusReply
	if _, err := c.receive(&reload); err != nil || reload.Verdict.Generation != begunNumber {
		t.Errorf("the first of two calls: %+v, %v", reload, err)
	}
	if _, err := c.receive(&status); err != nil || status.Status.Reexecs != 1 {
		t.Errorf("the second: %+v, %v", status, err)
	}
	if s, err := idle.Status(bounded(t)); err != nil || s.Reexecs != 1 {
		t.Errorf("the idle client: %+v, %v", s, err)
	}
	if v, err := idle.Reload(bounded(t), ReloadRequest{Program: newProgram}); err != nil || v.Generation != 0 {
		t.Errorf("its next call: %+v, %v", v, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestThaw: when the program is not replaced after all, everything goes on.
func TestThaw(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	release, begun := make(chan struct{}), make(chan struct{})
	s.reload = func(ctx context.Context, _ ReloadRequest) (Verdict, error) {
		CallOf(ctx).Begun(begunNumber)
		close(begun)
		<-release
		return Verdict{Outcome: Done}, nil
	}
	path := filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(s, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	idle, waiting := connect(t, path), connect(t, path)
	if _, err := idle.Status(bounded(t)); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := waiting.Reload(bounded(t), ReloadRequest{})
		answered <- err
	}()
	<-begun
	for i := range 20 {
		clients, thaw, err := srv.Freeze([]uint64{begunNumber})
		if err != nil {
			t.Fatal(err)
		}
		var calls []string
		for _, c := range clients {
			calls = append(calls, string(c.Call))
			c.Conn.Close()
		}
		if text := strings.Join(calls, ""); len(clients) != 2 || !strings.Contains(text, ".Reload") || strings.Contains(text, ".Status") {
			t.Fatalf("time %d: clients with the calls %q", i, calls)
		}
		asked := make(chan error, 2)
		go func() {
			_, err := idle.Status(bounded(t))
			asked <- err
		}()
		go func() {
			_, err := status(bounded(t), path) // a new client
			asked <- err
		}()
		thaw()
		for range 2 {
			if err := <-asked; err != nil {
				t.Fatalf("time %d: %v", i, err)
			}
		}
		poll.Until(t, "two clients", func() bool {
			srv.mu.Lock()
			defer srv.mu.Unlock()
			return len(srv.clients) == 2
		})
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	idle.Close()
	waiting.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, _, err := srv.Freeze(nil); err != nil {
		t.Errorf("of one that has ended: %v", err)
	}
	if _, err := Dial(bounded(t), path); !errors.Is(err, ErrNoServer) {
		t.Errorf("afterwards: %v", err)
	}
}
