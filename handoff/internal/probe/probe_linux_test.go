package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/units/helpertest"
)

const inTime = time.Minute // bounds every wait

// A scene is a socket and the generations that have it.
type scene struct {
	*testing.T
	file   *os.File
	target Target
}

func newScene(t *testing.T, network string) *scene {
	t.Helper()
	_, f := fdtest.Listening(t, network)
	s := &scene{T: t, file: f, target: Target{Listeners: Listeners([]activation.NamedFile{{Name: "web", File: f}})}}
	if len(s.target.Listeners) != 1 {
		t.Fatalf("listeners: %+v", s.target.Listeners)
	}
	return s
}

// A generation is a helper that has the socket.
type generation struct {
	*exec.Cmd
	says chan string
}

func (s *scene) start(helper string, args ...string) *generation {
	s.Helper()
	return s.startCommand(helpertest.Command(s.T, helper, args...))
}

func (s *scene) startCommand(cmd *exec.Cmd) *generation {
	s.Helper()
	cmd.ExtraFiles = []*os.File{s.file}
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		s.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	g := &generation{cmd, make(chan string, 1000)}
	go func() {
		defer close(g.says)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			g.says <- lines.Text()
		}
		io.Copy(io.Discard, out)
	}()
	s.Cleanup(func() {
		cmd.Process.Kill()
		for range g.says {
		}
		cmd.Wait()
	})
	if word := <-g.says; word != "in place" {
		s.Fatalf("it says %q", word)
	}
	return g
}

func (g *generation) processes() []int { return []int{g.Process.Pid} }

// freezer freezes a generation by a signal, and counts.
type freezer struct {
	g             *generation
	froze, thawed int
}

func (f *freezer) freeze() (func(), error) {
	f.froze++
	if err := f.g.Process.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	for { // the signal is on its way to the other threads
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(f.g.Process.Pid), "stat"))
		if err != nil {
			return nil, err
		}
		if _, state, ok := strings.Cut(string(text), ") "); ok && state[0] == 'T' {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return func() {
		f.thawed++
		f.g.Process.Signal(syscall.SIGCONT)
	}, nil
}

// run probes until ctx's time is over, or the test calls cancel.
func (s *scene) run(probe string, times int) (Report, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), inTime)
	defer cancel()
	return s.runWith(ctx, probe, times)
}

func (s *scene) runWith(ctx context.Context, probe string, times int) (Report, error) {
	s.Helper()
	p, err := Parse(probe)
	if err != nil {
		s.Fatal(err)
	}
	p.Times = times
	return p.Run(ctx, s.target)
}

// until returns a context that ends when g has said so many lines.
func (s *scene) until(g *generation, lines int) context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), inTime)
	go func() {
		defer cancel()
		for range lines {
			<-g.says
		}
	}()
	return ctx
}

var networks = []string{"tcp", "unix"}

// TestNew: of two generations that answer, as many answers as wanted came from the new
// one.
func TestNew(t *testing.T) {
	for _, network := range networks {
		for _, probe := range []string{"http://web/health?full", "tcp"} {
			t.Run(network+" "+probe, func(t *testing.T) {
				s := newScene(t, network)
				s.target.Old = s.start("serve", "200", "old").processes
				g := s.start("serve", "200", "new")
				s.target.New = g.processes
				const times = 5
				r, err := s.run(probe, times)
				if err != nil || r.New != times || r.Unknown > 0 || r.Frozen > 0 {
					t.Errorf("got %+v, %v", r, err)
				}
				if probe == "tcp" {
					return
				}
				for range times {
					if line := <-g.says; line != "asked for localhost/health?full" {
						t.Errorf("the new one says %q", line)
					}
				}
			})
		}
	}
}

// TestFirst: a first generation is alone.
func TestFirst(t *testing.T) {
	s := newScene(t, "tcp")
	g := s.start("serve", "302", "elsewhere")
	s.target.New = g.processes
	if r, err := s.run("http://example.com/", 0); err != nil || r.New != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if line := <-g.says; line != "asked for example.com/" {
		t.Errorf("it says %q", line)
	}
}

// TestBad: what the new generation answered is the reason, however well the old one
// answers.
func TestBad(t *testing.T) {
	s := newScene(t, "tcp")
	s.target.Old = s.start("serve", "200", "old").processes
	g := s.start("serve", "503", "the database is down")
	s.target.New = g.processes
	_, err := s.runWith(s.until(g, 2), "http://web/", 1)
	want := "probe http://web/ at " + s.target.Listeners[0].Address + ": it answered 503 Service Unavailable: the database is down"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestNobody: a program that never accepts is not answered for by the old one.
func TestNobody(t *testing.T) {
	for _, probe := range []string{"http://web/", "tcp"} {
		t.Run(probe, func(t *testing.T) {
			s := newScene(t, "tcp")
			old := s.start("serve", "200", "old")
			s.target.Old, s.target.New = old.processes, s.start("hold").processes
			ctx, cancel := context.WithTimeout(t.Context(), inTime)
			defer cancel()
			s.target.Freeze = func() (func(), error) { // by then the old one has answered many
				cancel()
				return nil, errors.New("as told")
			}
			r, err := s.runWith(ctx, probe, 1)
			if !errors.Is(err, errNotNew) || r.New > 0 || r.Old == 0 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

// TestNobodyAccepts: neither is a listener's queue an answer.
func TestNobodyAccepts(t *testing.T) {
	s := newScene(t, "tcp")
	s.target.New = s.start("hold").processes
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := s.runWith(ctx, "tcp", 1)
	if err == nil || !strings.HasSuffix(err.Error(), "nobody accepts at "+s.target.Listeners[0].Address) || r.New > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestFrozen: where the old generation takes all, or cannot be told from the new one,
// it is frozen for as long as the new one takes to accept, and always thawed.
func TestFrozen(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new []string
	}{
		{"the old one takes all", []string{"serve", "200", "old"}, []string{"serve", "200", "new", "20ms"}},
		{"they answer early", []string{"early", "old"}, []string{"early", "new"}},
	} {
		for _, network := range networks {
			t.Run(c.name+" "+network, func(t *testing.T) {
				s := newScene(t, network)
				old := s.start(c.old[0], c.old[1:]...)
				s.target.Old, s.target.New = old.processes, s.start(c.new[0], c.new[1:]...).processes
				f := &freezer{g: old}
				s.target.Freeze = f.freeze
				r, err := s.run("http://web/", 1)
				if err != nil || r.New != 1 {
					t.Errorf("got %+v, %v", r, err)
				}
				if f.froze != f.thawed || f.froze != r.Frozen {
					t.Errorf("frozen %d times, and thawed %d; %+v", f.froze, f.thawed, r)
				}
				t.Logf("%+v", r)
			})
		}
	}
}

// TestFrozenNobody: one that never accepts does not keep the old one frozen.
func TestFrozenNobody(t *testing.T) {
	s := newScene(t, "tcp")
	old := s.start("serve", "200", "old")
	s.target.Old, s.target.New = old.processes, s.start("hold").processes
	f := &freezer{g: old}
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	s.target.Freeze = func() (func(), error) {
		if f.froze == 2 {
			cancel()
		}
		return f.freeze()
	}
	_, err := s.runWith(ctx, "http://web/", 1)
	if err == nil || f.froze < 2 || f.froze != f.thawed {
		t.Errorf("got %v; frozen %d times, and thawed %d", err, f.froze, f.thawed)
	}
}

// TestCannotFreeze: an error of Freeze is no answer, and no reason to stop.
func TestCannotFreeze(t *testing.T) {
	s := newScene(t, "tcp")
	old := s.start("serve", "200", "old")
	s.target.Old, s.target.New = old.processes, s.start("hold").processes
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	s.target.Freeze = func() (func(), error) {
		cancel()
		return nil, errors.New("as told")
	}
	if r, err := s.runWith(ctx, "http://web/", 1); !errors.Is(err, errNotNew) || r.Frozen > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestLateHandler: node accepts before the program has a handler, which only a probe
// for an answer finds out.
func TestLateHandler(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("%v: install nodejs to run this", err)
	}
	s := newScene(t, "tcp")
	const program = `const server = require("http").createServer()
server.listen({fd: 3}, () => console.log("in place"))
process.stdin.once("end", () => { server.on("request", (q, a) => a.end("hello")); console.log("handles") }).resume()`
	cmd := exec.CommandContext(t.Context(), node, "-e", program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles, cmd.Stderr = []*os.File{s.file}, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	lines.Scan()
	s.target.New = func() []int { return []int{cmd.Process.Pid} }
	if r, err := s.run("tcp", 1); err != nil || r.New != 1 {
		t.Errorf("it does not accept: %+v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if r, err := s.runWith(ctx, "http://web/", 1); err == nil {
		t.Errorf("it answers without a handler: %+v", r)
	}
	in.Close()
	if lines.Scan(); lines.Text() != "handles" {
		t.Fatalf("it says %q", lines.Text())
	}
	if r, err := s.run("http://web/", 1); err != nil {
		t.Errorf("it does not answer: %+v, %v", r, err)
	}
}

// TestBlind: where nobody tells who accepts, that is the reason, and what to do.
func TestBlind(t *testing.T) {
	err := blind{os.NewSyscallError("socket(AF_NETLINK)", syscall.EAFNOSUPPORT)}
	if want := "cannot see who accepts: socket(AF_NETLINK): address family not supported by protocol; RestrictAddressFamilies= of the unit must have AF_NETLINK"; err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !errors.As(fmt.Errorf("%w", err), new(blind)) || !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Error("it is not found in another error")
	}
}

// TestCommand: a command is repeated until it succeeds, and what it says is the reason.
func TestCommand(t *testing.T) {
	s := newScene(t, "tcp")
	tries := 0
	s.target.Command = func(_ context.Context, command []string) (string, error) {
		if strings.Join(command, " ") != "/bin/check -v" {
			t.Errorf("it runs %q", command)
		}
		if tries++; tries < 3 {
			return "not yet", errors.New("exit status 1")
		}
		return "", nil
	}
	if r, err := s.run("/bin/check -v", 2); err != nil || r.New != 2 || tries != 4 {
		t.Errorf("got %+v, %v after %d runs", r, err, tries)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.target.Command = func(context.Context, []string) (string, error) {
		cancel()
		return "not yet", errors.New("exit status 1")
	}
	if _, err := s.runWith(ctx, "/bin/check -v", 1); err == nil || err.Error() != "probe /bin/check -v: exit status 1: not yet" {
		t.Errorf("got %v", err)
	}
}

func TestParse(t *testing.T) {
	for _, s := range []string{"http://web/", "http://web/a?b=c", "tcp", "tcp:web", "/bin/check --all", "check"} {
		p, err := Parse(s)
		if err != nil || p.String() != s {
			t.Errorf("%q: got %v, %v", s, p, err)
		}
	}
	for _, s := range []string{"", " ", "http://", "http:///", "http://a@web/", "http://web/#x", "https://web/", "tcp:", "udp:web"} {
		if p, err := Parse(s); err == nil {
			t.Errorf("%q is taken for %v", s, p)
		}
	}
}

// TestChoose: which listeners a probe asks.
func TestChoose(t *testing.T) {
	web, admin := Listener{Name: "web"}, Listener{Name: "admin"}
	for _, c := range []struct {
		probe string
		all   []Listener
		want  int
		err   string
	}{
		{"http://web/", []Listener{admin, web}, 1, ""},
		{"http://example.com/", []Listener{web}, 1, ""},
		{"http://example.com/", []Listener{web, admin}, 0, "no socket is called example.com: there are web, admin"},
		{"tcp", []Listener{web, admin}, 2, ""},
		{"tcp:web", []Listener{web, admin}, 1, ""},
		{"tcp:other", []Listener{web}, 0, "no socket is called other: there are web"},
		{"tcp", nil, 0, "there is no listening stream socket to probe"},
	} {
		p, err := Parse(c.probe)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.choose(c.all)
		if len(got) != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("%v of %d: got %+v, %v", c.probe, len(c.all), got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("http://web/a?b")
	f.Add("tcp:web")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := Parse(s); err == nil && p.kind != byCommand {
			if again, err := Parse(p.String()); err != nil || again.String() != p.String() {
				t.Errorf("%q is %v, and that is %v, %v", s, p, again, err)
			}
		}
	})
}

func TestJudge(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\n\r\n":                                    "",
		"HTTP/1.1 308 Permanent Redirect\r\n\r\n":                    "",
		"HTTP/1.0 404 Not Found\r\n\r\n":                             "it answered 404 Not Found",
		"HTTP/1.0 500 No\r\n\r\n\n  \x1b[31mred\x07\r\nmore lines\n": "it answered 500 No: \uFFFD[31mred\uFFFD",
		"SSH-2.0-OpenSSH\r\n":                                        `no answer: malformed HTTP response "SSH-2.0-OpenSSH"`,
		"":                                                           "no answer: unexpected EOF",
	} {
		got := ""
		if err := judge(strings.NewReader(answer)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", answer, got, want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno\n")
	f.Fuzz(func(t *testing.T, s string) { judge(strings.NewReader(s)) })
}
