package units

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// value returns the last value of an option, as systemd takes it.
func value(t *testing.T, u *Unit, section, name string) string {
	t.Helper()
	for _, o := range slices.Backward(u.Options) {
		if o.Section == section && o.Name == name {
			return o.Value
		}
	}
	t.Fatalf("%s has no %s= in [%s]", u.File, name, section)
	return ""
}

func TestRenderFiles(t *testing.T) {
	http, admin, dns := Socket{"http", "tcp", ":80"}, Socket{"admin", "unix", "/run/a"}, Socket{"d ns", "udp", "[::1]:53"}
	for _, c := range []struct {
		kind    Kind
		sockets []Socket
		want    []string
	}{
		{KindSocket, []Socket{http}, []string{"app.socket", "app.service"}},
		{KindSocket, []Socket{http, {"http", "unix", "/run/h"}}, []string{"app.socket", "app.service"}},
		{KindStore, []Socket{http, admin, {"http", "tcp", ":81"}, dns}, []string{"app-http.socket", "app-admin.socket", `app-d\x20ns.socket`, "app.service"}},
		{KindAccept, []Socket{http}, []string{"app.socket", "app@.service"}},
		{KindContainer, []Socket{http}, []string{"app.socket", "app.container"}},
		{KindDropIn, nil, []string{"app.service.d/handoffd.conf"}},
	} {
		rendered, err := Render(Description{Name: "app", Kind: c.kind, Sockets: c.sockets, Command: []string{"/bin/app"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range rendered {
			got = append(got, u.File)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.kind, got, c.want)
		}
		for _, u := range rendered {
			if strings.HasSuffix(u.File, ".socket") && len(c.want) > 2 && value(t, u, "Socket", "Service") != "app.service" {
				t.Errorf("%s is not one of app.service", u.File)
			}
		}
	}
}

func TestRenderListens(t *testing.T) {
	for _, c := range []struct {
		network, address, option, want, err string
	}{
		{network: "tcp", address: ":80", option: "ListenStream", want: "80"},
		{network: "tcp", address: "127.0.0.1:80", option: "ListenStream", want: "127.0.0.1:80"},
		{network: "udp", address: "[::1]:80", option: "ListenDatagram", want: "[::1]:80"},
		{network: "unix", address: "/run/a b%i", option: "ListenStream", want: "/run/a b%%i"},
		{network: "unix", address: "%t/app.sock", option: "ListenStream", want: "%t/app.sock"},
		{network: "unixgram", address: "@app", option: "ListenDatagram", want: "@app"},
		{network: "tcp", address: "localhost:80", err: "an address in digits"},
		{network: "tcp", address: "[fe80::1%eth0]:80", err: "an address in digits"},
		{network: "tcp", address: ":0", err: "a port from 1"},
		{network: "tcp", address: ":http", err: "a port from 1"},
		{network: "tcp", address: "127.0.0.1:0", err: "an address in digits"},
		{network: "unix", address: "run/app", err: "an absolute path"},
		{network: "unix", address: "@", err: "an absolute path"},
		{network: "unix", address: "%t/", err: "an absolute path"},
		{network: "unix", address: "/run/a\nb", err: "on one line"},
		{network: "sctp", address: ":80", err: "want tcp, udp, unix or unixgram"},
	} {
		rendered, err := Render(Description{Name: "app", Kind: KindSocket, Sockets: []Socket{{"s", c.network, c.address}}, Command: []string{"/bin/app"}})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), `socket "s"`) {
				t.Errorf("%s %s: error %v, want %q", c.network, c.address, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", c.network, c.address, err)
		} else if got := value(t, rendered[0], "Socket", c.option); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.network, c.address, got, c.want)
		}
	}
}

// TestRenderCompat: programs of start_server and Einhorn are told so to handoffd, and
// get sockets that block.
func TestRenderCompat(t *testing.T) {
	base := Description{Name: "app", Kind: KindHandoffd, Sockets: []Socket{{"http", "tcp", ":80"}}, Command: []string{"/bin/app"}}
	for _, c := range []struct {
		compat, signal, ready string
		kind                  Kind
		exec, err             string
	}{
		{compat: "server-starter", signal: "QUIT", exec: "run --compat server-starter --stop-signal QUIT -- /bin/app"},
		{compat: "einhorn", ready: "notify", exec: "run --compat einhorn --ready notify -- /bin/app"},
		{compat: "einhorn", ready: "alive:5s", exec: "run --compat einhorn --ready alive:5s -- /bin/app"},
		{signal: "USR2", exec: "run --stop-signal USR2 -- /bin/app"},
		{compat: "upstart", err: `compat "upstart"`},
		{compat: "einhorn", kind: KindStore, err: "only handoffd"},
		{signal: "QUIT", kind: KindSocket, err: "only handoffd"},
		{signal: "QUIT -- /bin/sh", err: "the stop signal"},
	} {
		d := base
		d.Compat, d.StopSignal, d.Ready = c.compat, c.signal, c.ready
		if c.kind != "" {
			d.Kind = c.kind
		}
		rendered, err := Render(d)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: error %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		blocking := map[bool]string{true: "no", false: "yes"}[c.compat != ""]
		if got := value(t, rendered[1], "Service", "NonBlocking"); got != blocking {
			t.Errorf("%+v: NonBlocking=%s", c, got)
		}
		if got := value(t, rendered[1], "Service", "ExecStart"); got != "/usr/local/bin/handoffd "+c.exec {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// TestRenderedTimesAgree: systemd waits longer than the program may take, and keeps
// at least as many descriptors as may be stored.
func TestRenderedTimesAgree(t *testing.T) {
	number := func(u *Unit, name string) int {
		n, err := strconv.Atoi(value(t, u, "Service", name))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, kind := range []Kind{KindHandoffd, KindHandoffdSignal, KindStore, KindDropIn} {
		for _, drain := range []time.Duration{time.Second, 20 * time.Second, time.Hour} {
			for _, ready := range []time.Duration{time.Second, 10 * time.Minute} {
				for _, store := range []int{1, 64, maxStore} {
					d := Description{Name: "app", Kind: kind, Systemd: 253, Command: []string{"/bin/app"}, DrainTimeout: drain, ReadyTimeout: ready, Store: store}
					if kind != KindDropIn {
						d.Sockets = []Socket{{"http", "tcp", ":80"}}
					}
					rendered, err := Render(d)
					if err != nil {
						t.Fatal(err)
					}
					u := rendered[len(rendered)-1]
					start, stop, most := number(u, "TimeoutStartSec"), number(u, "TimeoutStopSec"), number(u, "FileDescriptorStoreMax")
					if stop < int(drain.Seconds())+10 {
						t.Errorf("%s: TimeoutStopSec=%d for a drain of %v", kind, stop, drain)
					}
					needs, entries := ready, store
					if kind.handoffd() {
						needs, entries = ready+drain+time.Second, store+1
						command := value(t, u, "Service", "ExecStart")
						for name, usual := range map[string]bool{
							"--drain-timeout " + short(drain) + " ": drain == 60*time.Second,
							"--ready-timeout " + short(ready) + " ": ready == 90*time.Second,
							"--store " + strconv.Itoa(store) + " ":  store == 64,
						} {
							if strings.Contains(command, name) == usual {
								t.Errorf("%s: %s, and %q is usual: %t", kind, command, name, usual)
							}
						}
					}
					if start < int(needs.Seconds()) {
						t.Errorf("%s: TimeoutStartSec=%d for %v and %v", kind, start, ready, drain)
					}
					if most < entries {
						t.Errorf("%s: FileDescriptorStoreMax=%d for %d", kind, most, store)
					}
					if kind != KindDropIn && number(u, "LimitNOFILE") < 64*most {
						t.Errorf("%s: LimitNOFILE= for %d stored", kind, most)
					}
				}
			}
		}
	}
}

// TestRenderAimsAtAVersion: what came later is not in units for earlier systemds.
func TestRenderAimsAtAVersion(t *testing.T) {
	for _, version := range []int{0, 247, 256, 257, 300} {
		d := described["holdfast-app"]
		d.Name, d.Systemd = "app", version
		rendered, err := Render(d)
		if err != nil {
			t.Fatal(err)
		}
		private := slices.ContainsFunc(rendered[1].Options, func(o Option) bool { return o.Name == "ProtectControlGroups" && o.Value == "private" })
		if want := version >= 257; private != want {
			t.Errorf("for systemd %d ProtectControlGroups=private is there: %t", version, private)
		}
	}
}

func TestQuoteWord(t *testing.T) {
	for word, want := range map[string]string{
		"/usr/bin/app": "/usr/bin/app",
		"":             `""`,
		"a b":          `"a b"`,
		"100%":         "100%%",
		"$HOME":        "$$HOME",
		`a"b\c`:        `"a\"b\\c"`,
		"it's":         `"it's"`,
		";":            `";"`,
		"a\nb\x01":     `"a\nb\x01"`,
		"größe":        `"größe"`,
		"@-:+!":        `"@-:+!"`,
	} {
		if got := quoteWord(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}

// FuzzRender: whatever is asked for is refused, or says nothing but what was asked.
func FuzzRender(f *testing.F) {
	f.Add("app", "handoffd", "http", "tcp", ":80", "/bin/app", "a b%$\"\\", 252)
	f.Add("a", "drop-in", "", "", "", "app", "", 257)
	f.Add("a", "container", "x\ny", "unix", "/run/\n[Service]\nUser=root", "image", "\x00", 247)
	f.Add("a-b.c", "store", "s", "unixgram", "@a", "/bin/x", "\\", 300)
	f.Fuzz(func(t *testing.T, name, kind, socket, network, address, program, arg string, version int) {
		d := Description{Name: name, Kind: Kind(kind), Command: []string{program, arg}, Systemd: version}
		if d.Kind != KindDropIn {
			d.Sockets = []Socket{{socket, network, address}}
		}
		rendered, err := Render(d)
		if err != nil {
			return
		}
		for _, u := range rendered {
			text, err := u.MarshalText()
			if err != nil {
				t.Fatalf("%+v: %v", d, err)
			}
			again, err := Parse(u.File, string(text))
			if err != nil || len(again.Ignored) > 0 {
				t.Fatalf("%v, ignored %v:\n%s", err, again.Ignored, text)
			}
			if got, want := statements(again), statements(u); !slices.Equal(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// TestRenderJIT: a program that makes code as it runs may do so, and no other.
func TestRenderJIT(t *testing.T) {
	for _, jit := range []bool{false, true} {
		rendered, err := Render(Description{Name: "app", Kind: KindHandoffd, JIT: jit, Sockets: []Socket{{"http", "tcp", ":80"}}, Command: []string{"/usr/bin/node"}})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service"}
		if jit {
			want = []string{"SystemCallFilter=@system-service @pkey"}
		}
		if got := lines(rendered[1], "MemoryDenyWriteExecute", "SystemCallFilter"); !slices.Equal(got, want) {
			t.Errorf("JIT %t: %q, want %q", jit, got, want)
		}
	}
}
