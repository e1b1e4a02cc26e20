package activation

import (
	"errors"
	"io"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// sorts are what the model below knows: how to make one, and what takes it.
var sorts = []struct {
	make func(testing.TB) int
	take []string
}{
	{tcpListener, []string{"Listener", "Listeners", "File", "Files"}},
	{udpSocket, []string{"PacketConn", "PacketConns", "File", "Files"}},
	{func(t testing.TB) int { fd, _ := unixPair(t, unix.SOCK_STREAM); return fd }, []string{"Conn", "Conns", "File", "Files"}},
	{func(t testing.TB) int { return open(t, "/dev/null") }, []string{"File", "Files"}},
}

// one and several give the methods of a Set one shape.
func one[T io.Closer](take func(string) (T, error)) func(string) ([]io.Closer, error) {
	return func(name string) ([]io.Closer, error) {
		v, err := take(name)
		if err != nil {
			return nil, err
		}
		return []io.Closer{v}, nil
	}
}

func several[T io.Closer](take func(string) ([]T, error)) func(string) ([]io.Closer, error) {
	return func(name string) ([]io.Closer, error) {
		list, err := take(name)
		var closers []io.Closer
		for _, v := range list {
			closers = append(closers, v)
		}
		return closers, err
	}
}

// Whatever is asked of a Set in whatever order, each descriptor is taken once or
// reported by Close, and every refusal has the cause that is documented.
func TestSetAgainstModel(t *testing.T) {
	leaktest.Check(t)
	taken, refused := 0, map[error]int{}
	rapid.Check(t, func(rt *rapid.T) {
		type descriptor struct {
			name  string
			sort  int
			taken bool
		}
		names := []string{"a", "b"}
		var model []descriptor
		var passed []string
		var fds []int
		for range rapid.IntRange(1, 8).Draw(rt, "descriptors") {
			d := descriptor{name: rapid.SampledFrom(names).Draw(rt, "name"), sort: rapid.IntRange(0, len(sorts)-1).Draw(rt, "sort")}
			model = append(model, d)
			passed = append(passed, d.name)
			fds = append(fds, sorts[d.sort].make(t))
		}
		s, err := pass(t, passed, fds...).Inherit()
		if err != nil {
			rt.Fatal(err)
		}
		methods := map[string]func(string) ([]io.Closer, error){
			"Listener": one(s.Listener), "PacketConn": one(s.PacketConn), "Conn": one(s.Conn), "File": one(s.File),
			"Listeners": several(s.Listeners), "PacketConns": several(s.PacketConns), "Conns": several(s.Conns), "Files": several(s.Files),
		}
		for range rapid.IntRange(0, 12).Draw(rt, "calls") {
			name := rapid.SampledFrom(append(names, "c")).Draw(rt, "name")
			method := rapid.SampledFrom([]string{"Listener", "Listeners", "PacketConn", "PacketConns", "Conn", "Conns", "File", "Files"}).Draw(rt, "method")
			known, others, match := false, 0, []int{}
			for i, d := range model {
				switch {
				case d.name != name:
				case d.taken:
					known = true
				case slices.Contains(sorts[d.sort].take, method):
					match = append(match, i)
				default:
					others++
				}
			}
			got, err := methods[method](name)
			var want error
			switch {
			case len(match) > 1 && method[len(method)-1] != 's':
				want = ErrSeveral
			case len(match) > 0:
				for _, i := range match {
					model[i].taken = true
				}
			case others > 0:
				want = ErrKind
			case known:
				want = ErrTaken
			default:
				want = ErrNoName
			}
			if want != nil {
				match = nil
				refused[want]++
			}
			if !errors.Is(err, want) || len(got) != len(match) {
				rt.Fatalf("%s(%q): %d, %v; want %d, %v", method, name, len(got), err, len(match), want)
			}
			taken += len(got)
			for _, c := range got {
				c.Close()
			}
		}
		var left []string
		for _, d := range model {
			if !d.taken {
				left = append(left, d.name)
			}
		}
		var unclaimed *UnclaimedError
		if err := s.Close(); errors.As(err, &unclaimed) != (len(left) > 0) {
			rt.Fatalf("Close: %v, and %q are left", err, left)
		}
		for i, name := range left {
			if got := unclaimed.Descriptors[i].Name; got != name {
				rt.Fatalf("Close reported %q as number %d, want %q", got, i, name)
			}
		}
	})
	if taken == 0 || len(refused) != 4 {
		t.Errorf("the model took %d and refused for %v: it did not try everything", taken, refused)
	}
}
