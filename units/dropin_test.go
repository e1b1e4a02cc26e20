package units

import (
	"slices"
	"strings"
	"testing"
)

// dropInOf renders the drop-in around a unit with this [Service] section.
func dropInOf(t *testing.T, d Description, service string) *Unit {
	t.Helper()
	d.Kind = KindDropIn
	if d.Command == nil {
		d.Command = []string{"/usr/sbin/app"}
	}
	if service != "" {
		around, err := Parse("app.service", "[Unit]\nDescription=x\nPIDFile=/not/here\n[Service]\n"+service)
		if err != nil {
			t.Fatal(err)
		}
		d.Around = around.Options
	}
	rendered, err := Render(d)
	if err != nil {
		t.Fatal(err)
	}
	return rendered[len(rendered)-1]
}

// lines are what the unit says of these options, sorted.
func lines(u *Unit, names ...string) (all []string) {
	for _, o := range u.Options {
		if slices.Contains(names, o.Name) {
			all = append(all, o.Name+"="+o.Value)
		}
	}
	slices.Sort(all)
	return all
}

// TestDropInResets: what fights with generations is reset, with what was there in the
// comment; what doesn't fight stays.
func TestDropInResets(t *testing.T) {
	names := []string{
		"PIDFile", "ExecStop", "ExecStopPost", "StandardInput", "ExecPaths", "NoExecPaths", "BindReadOnlyPaths",
		"RootDirectory", "TemporaryFileSystem", "RestrictAddressFamilies", "RestartKillSignal", "Restart", "ProtectHome", "NonBlocking", "ExecStartPre",
	}
	const handoffd = "/usr/local/bin/handoffd"
	for _, c := range []struct {
		service string
		want    []string
		comment string // of the last of them
	}{
		{"", []string{"ExecStop=", "PIDFile=", "Restart=on-failure"}, ""},
		{"Type=simple\n", []string{"Restart=on-failure"}, ""},
		{"PIDFile=/run/a\nPIDFile=\nExecStop=/bin/a\nExecStop=\n", []string{"Restart=on-failure"}, ""},
		{"PIDFile=/run/nginx.pid\n", []string{"PIDFile=", "Restart=on-failure"}, "The unit has PIDFile=/run/nginx.pid."},
		{"ExecStop=/bin/a\nExecStop=/bin/b\n", []string{"ExecStop=", "Restart=on-failure"}, "The unit has ExecStop=/bin/a, /bin/b."},
		{"ExecStopPost=-/bin/rm -f /run/a\n", []string{"Restart=on-failure"}, ""},
		{"ExecStopPost=-/bin/rm -f /run/a\nExecStopPost=-/usr/bin/pkill app\n", []string{"ExecStopPost=", "Restart=on-failure"}, "next generation"},
		{"StandardInput=socket\n", []string{"Restart=on-failure", "StandardInput=null"}, "none of the others"},
		{"StandardInput=tty\n", []string{"Restart=on-failure"}, ""},
		{"NoExecPaths=/\nExecPaths=/usr/sbin/app\n", []string{"ExecPaths=" + handoffd, "Restart=on-failure"}, "NoExecPaths=/."},
		{"NoExecPaths=/\nExecPaths=" + handoffd + "\n", []string{"Restart=on-failure"}, ""},
		{"RootDirectory=/srv/root\n", []string{"BindReadOnlyPaths=" + handoffd, "Restart=on-failure"}, "RootDirectory=/srv/root."},
		{"RootDirectory=/\n", []string{"Restart=on-failure"}, ""},
		{"RootDirectory=/srv\nTemporaryFileSystem=/usr\n", []string{"BindReadOnlyPaths=" + handoffd, "Restart=on-failure"}, ""},
		{"RestrictAddressFamilies=AF_INET AF_INET6\n", []string{"RestrictAddressFamilies=AF_UNIX", "Restart=on-failure"}, "AF_INET AF_INET6"},
		{"RestrictAddressFamilies=AF_INET\nRestrictAddressFamilies=AF_UNIX\n", []string{"Restart=on-failure"}, ""},
		{"RestrictAddressFamilies=~AF_PACKET\n", []string{"Restart=on-failure"}, ""},
		{"RestrictAddressFamilies=~AF_PACKET AF_UNIX\n", []string{"RestrictAddressFamilies=AF_UNIX", "Restart=on-failure"}, "AF_PACKET"},
		{"RestartKillSignal=SIGUSR2\n", []string{"RestartKillSignal=SIGTERM", "Restart=on-failure"}, ""},
		{"Restart=always\nProtectHome=yes\nNonBlocking=yes\nExecStartPre=/bin/a\n", nil, ""},
	} {
		u := dropInOf(t, Description{Name: "app"}, c.service)
		got := lines(u, names...)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("around %q: %q, want %q", c.service, got, c.want)
		}
		if last := u.Options[len(u.Options)-1]; c.comment != "" && !strings.Contains(last.Comment, c.comment) && c.service != "RestartKillSignal=SIGUSR2\n" {
			t.Errorf("around %q: the comment of %s is %q, want %q in it", c.service, last.Name, last.Comment, c.comment)
		}
	}
}

// TestDropInSays: what cannot be reset is said.
func TestDropInSays(t *testing.T) {
	u := dropInOf(t, Description{Name: "app"}, "Type=forking\nKillMode=process\n")
	for name, want := range map[string]string{"ExecStart": "in the foreground", "KillMode": "until the drain timeout"} {
		if i := slices.IndexFunc(u.Options, func(o Option) bool { return o.Name == name }); i < 0 || !strings.Contains(u.Options[i].Comment, want) {
			t.Errorf("%s= does not say %q", name, want)
		}
	}
	for _, want := range []string{"daemon-reload", "systemctl restart\napp", "To leave it"} {
		if !strings.Contains(u.Comment, want) {
			t.Errorf("the head does not say %q:\n%s", want, u.Comment)
		}
	}
}

// TestDropInNames: a drop-in may be for an instance, for a template, and for a unit
// that has no socket of its own.
func TestDropInNames(t *testing.T) {
	http := []Socket{{"http", "tcp", ":80"}}
	for _, c := range []struct {
		d                               Description
		file, wants, directory, command string
		socket                          string
	}{
		{Description{Name: "app"}, "app.service.d/handoffd.conf", "app.socket", "app-handoffd", "/bin/app 100%%i", ""},
		{Description{Name: "app", Sockets: http}, "app.service.d/handoffd.conf", "app.socket", "app-handoffd", "/bin/app 100%%i", "app.socket"},
		{Description{Name: "postgresql@15-main"}, "postgresql@15-main.service.d/handoffd.conf", "postgresql@15-main.socket", "postgresql-15-main-handoffd", "/bin/app 100%%i", ""},
		{Description{Name: "app@", Sockets: http}, "app@.service.d/handoffd.conf", "app@%i.socket", "app-%i-handoffd", "/bin/app 100%i", "app@.socket"},
	} {
		c.d.Kind, c.d.Command = KindDropIn, []string{"/bin/app", "100%i"}
		rendered, err := Render(c.d)
		if err != nil {
			t.Fatal(err)
		}
		u := rendered[len(rendered)-1]
		if u.File != c.file || value(t, u, "Unit", "Wants") != c.wants || value(t, u, "Service", "RuntimeDirectory") != c.directory {
			t.Errorf("%s: %s wants %s, and has %s", c.d.Name, u.File, value(t, u, "Unit", "Wants"), value(t, u, "Service", "RuntimeDirectory"))
		}
		if line := value(t, u, "Service", "ExecStart"); !strings.HasSuffix(line, "-- "+c.command) {
			t.Errorf("%s: the command is %s, want %s at its end", c.d.Name, line, c.command)
		}
		if c.socket == "" && len(rendered) == 1 {
			continue
		}
		if len(rendered) != 2 || rendered[0].File != c.socket {
			t.Errorf("%s: %d units, the first is %s, want %q", c.d.Name, len(rendered), rendered[0].File, c.socket)
		}
	}
}

// TestKeptPaths: the paths of Unix sockets are mounted where the program would remove
// them, and nothing else is.
func TestKeptPaths(t *testing.T) {
	d := Description{
		Name: "app", Kind: KindHandoffd, Command: []string{"/bin/app"},
		Sockets: []Socket{{"a", "unix", "/run/a%b"}, {"a", "tcp", ":80"}, {"a", "unix", "@a"}, {"a", "unixgram", "%t/g"}},
	}
	for _, unlinks := range []bool{false, true} {
		d.Unlinks = unlinks
		rendered, err := Render(d)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if unlinks {
			want = []string{"BindPaths=-%t/g", "BindPaths=-/run/a%%b"}
		}
		if got := lines(rendered[1], "BindPaths"); !slices.Equal(got, want) {
			t.Errorf("unlinks %t: %q, want %q", unlinks, got, want)
		}
	}
}
