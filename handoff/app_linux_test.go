package handoff

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/tlstest"
)

func init() { helpers["app"] = app }

// appConfig says what the program of these tests does.
type appConfig struct {
	HTTP   string // address of the listener "http"
	H2C    bool   // "http" speaks HTTP/2, too
	HTTPS  string // of "https"
	Echo   string // of the listener "echo"
	Hijack bool   // "http" turns connections over to the Carrier "echo"
	Packet string // of the packet socket "packet"
	Baton  bool   // it takes part in a relay

	Accept, AnyServer bool // HTTP is not served, or by a Server of its own kind

	State      uint32   // version of the state "count"; 0: there is none
	Accepts    []uint32 // beside State
	Unreadable Unreadable

	DrainTimeout, ReloadTimeout, LameDuck, IdleGrace, KeepConns, KeepStates time.Duration
	MaxConns                                                                int

	Version string // Options.Version
	Reload  string // "fail", or how long a reload takes
	Files   uint64 // RLIMIT_NOFILE

	InFlight int // descriptors that its user, who is nobody, has in flight already

	Crash     string // the point at which it kills itself
	CrashFile string // if not empty: only if there is this file, which goes first
}

// due reports whether the program is to kill itself, if it comes to that.
func (c appConfig) due() bool {
	_, err := os.Stat(c.CrashFile)
	return c.CrashFile == "" || err == nil
}

// inherited is the address of a listener that must not be bound, several that of
// all listeners of one name.
const (
	inherited = "inherited"
	several   = "several"
)

// An application is the program of these tests, as main would make it.
type application struct {
	config  appConfig
	svc     *Service
	carrier *Carrier
	counted atomic.Int64
	carried atomic.Int64
}

func app([]string) error {
	a := &application{}
	if err := json.Unmarshal([]byte(os.Getenv("APP")), &a.config); err != nil {
		return err
	}
	c := a.config
	if c.Files > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: c.Files, Max: c.Files}); err != nil {
			return err
		}
	}
	o := Options{DrainTimeout: c.DrainTimeout, ReloadTimeout: c.ReloadTimeout, LameDuck: c.LameDuck, IdleGrace: c.IdleGrace, KeepConns: c.KeepConns, KeepStates: c.KeepStates, MaxConns: c.MaxConns, Version: c.Version}
	if c.Crash == "adopt" && c.due() {
		o.MaxConns = 1 // it reads no further than the first message before it dies
	}
	o.Report = func(err error) { fmt.Println("report", strings.ReplaceAll(err.Error(), "\n", "; ")) }
	ctx := context.Background()
	svc, err := Open(ctx, o)
	if err != nil {
		return err
	}
	a.svc = svc
	if c.InFlight > 0 {
		if err := crowd(c.InFlight); err != nil {
			return err
		}
	}
	a.crash("open")
	if err := a.setUp(); err != nil {
		return err
	}
	err = svc.Run(ctx)
	a.crash("exit")
	counters, _ := json.Marshal(svc.Counters())
	fmt.Printf("counters %s\n", counters)
	return err
}

// crash kills the program if it is told to at this point.
func (a *application) crash(point string) {
	c := a.config
	if c.Crash != point || c.CrashFile != "" && os.Remove(c.CrashFile) != nil {
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (a *application) setUp() error {
	c := a.config
	var k *Carrier
	if c.Crash == "drain" {
		a.svc.Go(func(ctx context.Context) error {
			<-ctx.Done()
			a.crash("drain")
			return nil
		})
	}
	if c.Echo != "" || c.Hijack {
		var err error
		if k, err = a.svc.Carry("echo", a.echo); err != nil {
			return err
		}
		a.carrier = k
	}
	if c.HTTP != "" {
		lns, err := a.listenAll("http", c.HTTP)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: http.HandlerFunc(a.serveHTTP)}
		if c.H2C {
			srv.Protocols = new(http.Protocols)
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetUnencryptedHTTP2(true)
		}
		for _, ln := range lns {
			switch {
			case c.Accept:
			case c.AnyServer:
				err = a.svc.Serve(ln, struct{ Server }{srv})
			default:
				err = a.svc.Serve(ln, srv)
			}
			if err != nil {
				return err
			}
		}
	}
	if c.HTTPS != "" {
		ln, err := a.listen("https", c.HTTPS)
		if err != nil {
			return err
		}
		cert, err := tlstest.Certificate()
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: http.HandlerFunc(a.serveHTTP), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
		if err := a.svc.ServeTLS(ln, srv); err != nil {
			return err
		}
	}
	if c.Echo != "" {
		ln, err := a.listen("echo", c.Echo)
		if err != nil {
			return err
		}
		if err := k.Serve(ln); err != nil {
			return err
		}
	}
	if c.Reload != "" {
		if err := a.svc.OnReload(a.reload); err != nil {
			return err
		}
	}
	if c.Packet != "" {
		if err := a.count(c.Packet); err != nil {
			return err
		}
	}
	if c.Baton {
		if err := takeBaton(a.svc); err != nil {
			return err
		}
	}
	if c.State != 0 {
		return a.svc.State("count", State{
			Version:    c.State,
			Accepts:    a.accepts,
			Save:       a.save,
			Resume:     a.resume,
			Load:       a.load,
			Unreadable: c.Unreadable,
		})
	}
	return nil
}

func (a *application) listenAll(name, address string) ([]net.Listener, error) {
	if address == several {
		return a.svc.Listeners(name)
	}
	ln, err := a.listen(name, address)
	return []net.Listener{ln}, err
}

func (a *application) listen(name, address string) (net.Listener, error) {
	if address == inherited {
		return a.svc.Listen(name, "tcp", "")
	}
	ln, err := a.svc.Listen(name, "tcp", address)
	if err == nil {
		fmt.Printf("%s listens on %v\n", name, ln.Addr())
	}
	return ln, err
}

// serveHTTP answers GET with the PID and POST with the body's digest.
func (a *application) serveHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/upgrade":
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		ahead, err := buffered.Peek(buffered.Reader.Buffered())
		if err != nil {
			fmt.Println("report", err)
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sum\r\n\r\n")
		if err := a.carrier.Go(c, sumState(0, ahead, nil)); err != nil {
			fmt.Println("report", err)
		}
	case r.Method == http.MethodPost:
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			return
		}
		fmt.Fprintf(w, "%x\n", h.Sum(nil))
	case r.URL.Path == "/held": // until the file goes
		fmt.Println("held")
		for {
			if _, err := os.Stat(r.URL.RawQuery); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		a.counted.Add(1)
		fmt.Fprintf(w, "pid %d\n", os.Getpid())
	case r.URL.Path == "/slow":
		d, _ := time.ParseDuration(r.URL.RawQuery)
		fmt.Println("slow", d)
		time.Sleep(d)
		fallthrough
	default:
		a.counted.Add(1)
		fmt.Fprintf(w, "pid %d\n", os.Getpid())
	}
}

func (a *application) echo(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
	if len(state) > 0 {
		a.crash("adopt")
		if a.config.MaxConns > 0 {
			fmt.Println("adopted")
		}
	}
	carry, err := echoSum(ctx, c, state)
	if err == ErrCarry && a.carried.Add(1) == crashCarrying {
		a.crash("carry")
	}
	return carry, err
}

// crashCarrying is the connection at which a program that is told to kills itself
// while it carries them on.
const crashCarrying = 290

// count counts datagrams, each of which holds a number to add.
func (a *application) count(address string) error {
	if address == inherited {
		address = ""
	}
	conn, err := a.svc.ListenPacket("packet", "udp", address)
	if err != nil {
		return err
	}
	return a.svc.Go(func(ctx context.Context) error {
		buf := make([]byte, 64)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, ErrDraining) {
				return nil
			}
			if err != nil {
				return err
			}
			v, err := strconv.ParseInt(string(buf[:n]), 10, 64)
			if err != nil {
				return err
			}
			a.counted.Add(v)
			if v == 0 { // a question
				conn.WriteTo(strconv.AppendInt(nil, a.counted.Load(), 10), from)
			}
		}
	})
}

func (a *application) reload(ctx context.Context) error {
	if a.config.Reload == "stuck" {
		fmt.Println("reload is stuck")
		select {}
	}
	d, err := time.ParseDuration(a.config.Reload)
	if err != nil {
		return errors.New("line 3 of the\nconfiguration is wrong")
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *application) accepts(version uint32) bool {
	for _, v := range append(a.config.Accepts, a.config.State) {
		if v == version {
			return true
		}
	}
	return false
}

func (a *application) save(context.Context) ([]byte, error) {
	a.crash("save")
	switch a.config.Crash {
	case "stuck save":
		fmt.Println("save is stuck")
		select {}
	case "long save": // until the file goes
		fmt.Println("saving")
		for a.config.due() {
			time.Sleep(time.Millisecond)
		}
	}
	fmt.Printf("saved %d\n", a.counted.Load())
	return strconv.AppendInt(nil, a.counted.Load(), 10), nil
}

func (a *application) resume(ctx context.Context) error {
	if a.config.Crash == "stuck resume" {
		fmt.Println("resume is stuck")
		<-ctx.Done()
		return context.Cause(ctx)
	}
	fmt.Println("resumed")
	return nil
}

func (a *application) load(ctx context.Context, version uint32, b []byte) error {
	a.crash("load")
	switch a.config.Crash {
	case "refuse":
		return errors.New("these contents make no sense")
	case "hang":
		fmt.Println("hangs")
		<-ctx.Done()
		return context.Cause(ctx)
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return err
	}
	fmt.Printf("loaded %d of version %d\n", n, version)
	a.counted.Add(n)
	return nil
}
