package check

import (
	"slices"
	"testing"
)

// TestRefused: systemd 262 loads what is refused here with the state bad-setting, and
// the others with loaded.
func TestRefused(t *testing.T) {
	for text, want := range map[string]bool{
		"[Service]\nType=notify\nExecStart=/bin/a\nExecStart=/bin/b\n":    true,
		"[Service]\nExecStart=/bin/a ; /bin/b\n":                          true,
		"[Service]\nExecStart=/bin/a \";\" ';' \\; b;\n":                  false,
		"[Service]\nType=exec\nExecStart=-/bin/a\nExecStart=-/bin/b\n":    true,
		"[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n":     false,
		"[Service]\nType=oneshot\nExecStart=/bin/a\nExecStart=/bin/b\n":   false,
		"[Service]\nType=simple\n":                                        true,
		"[Service]\nType=notify\nExecStart=/bin/a\nExecStart=\n":          true,
		"[Service]\nType=notify\nExecStop=/bin/a\n":                       true,
		"[Service]\nType=forking\nRemainAfterExit=yes\nExecStop=/bin/a\n": true,
		"[Service]\nType=oneshot\nRemainAfterExit=yes\n":                  true,
		"[Service]\nExecStop=/bin/a\n":                                    true,
		"[Service]\nExecStop=/bin/a\nRemainAfterExit=yes\n":               false,
		"[Unit]\nSuccessAction=reboot\n[Service]\nRemainAfterExit=no\n":   false,
		"[Service]\nType=oneshot\nExecStart=/bin/a\nRestart=always\n":     true,
		"[Service]\nType=oneshot\nExecStart=/bin/a\nRestart=on-success\n": true,
		"[Service]\nType=oneshot\nExecStart=/bin/a\nRestart=on-failure\n": false,
		"[Service]\nType=dbus\nExecStart=/bin/a\n":                        true,
		"[Service]\nType=dbus\nExecStart=/bin/a\nBusName=x.y\n":           false,
		"[Service]\nExecStart=/bin/a\nPAMName=login\nKillMode=process\n":  true,
		"[Service]\nExecStart=/bin/a\nPAMName=login\nKillMode=mixed\n":    false,
		"[Service]\nExecStart=@/bin/a\n":                                  true, // unit-broken
		"[Service]\nExecStart=-\n":                                        true,
		"[Service]\nExecStart=+\n":                                        true, // unit-broken
		"[Service]\nExecStart=@/bin/a a b\n":                              false,
		"[Service]\nExecStart=!!/bin/a a b\n":                             false,
	} {
		findings := ruleCase{}.run(t, files{"app.service": text})
		rules := found(findings)
		if got := slices.Contains(rules, "unit-refused") || slices.Contains(rules, "unit-broken"); got != want {
			t.Errorf("%q: refused: %v, want %v: %v", text, got, want, findings)
		}
	}
}

// TestAddresses: systemd 262 says "ignoring" of those that are none.
func TestAddresses(t *testing.T) {
	for _, a := range []struct {
		option, value string
		want          bool
	}{
		{"Stream", "80", true}, {"Stream", "0x51", true}, {"Stream", "+80", true}, {"Stream", "010", true}, {"Stream", "8_0", false},
		{"Stream", "0", false}, {"Stream", "65536", false}, {"Stream", "090", false},
		{"Stream", "127.0.0.1:80", true}, {"Stream", "127.0.0.1:0x52", true}, {"Stream", "127.0.0.1:0", false}, {"Stream", "127.0.0.1:090", false},
		{"Stream", "[::]:80", true}, {"Stream", "[::ffff:1.2.3.4]:90", true}, {"Stream", "[::1]", false}, {"Stream", "::1:80", false},
		{"Stream", "1.2.3.4", false}, {"Stream", "localhost:80", false}, {"Stream", ":80", false},
		{"Stream", "/run/with space.sock", true}, {"Stream", `"/run/quoted.sock"`, false}, {"Stream", "/", false}, {"Stream", "@", false}, {"Stream", "@a", true},
		{"Stream", "vsock:2:1234", true}, {"Stream", "vsock::1235", true}, {"Stream", "vsock:1", false},
		{"SequentialPacket", "@a", true}, {"SequentialPacket", "/run/a", true}, {"SequentialPacket", "80", false}, {"SequentialPacket", "vsock::9", false},
		{"FIFO", "%t/a.fifo", true}, {"FIFO", "/run/a.fifo", true}, {"FIFO", "a.fifo", false},
		{"Special", "/dev/input", true}, {"Special", "%t/a", true}, {"Special", "dev/input", false},
		{"MessageQueue", "/mq", true}, {"MessageQueue", "mq", false}, {"USBFunction", "x", false},
		{"Netlink", "kobject-uevent 1", true}, {"Netlink", "route", true}, {"Netlink", "31 7", true}, {"Netlink", "udev", false}, {"Netlink", "audit x", false}, {"Netlink", "", false},
	} {
		if _, got := parseAddress(a.option, a.value); got != a.want {
			t.Errorf("Listen%s=%s: %v, want %v", a.option, a.value, got, a.want)
		}
	}
}

// TestOnePathTwice: of one kind and in one unit the service has both sockets.
func TestOnePathTwice(t *testing.T) {
	c := ruleCase{base: "plain"}
	findings := c.run(t, c.over(dropIn("app.socket", "[Socket]\nListenStream=/run/app.sock\nListenStream=/run/app.sock")))
	if len(findings) > 0 {
		t.Error(findings)
	}
}

// TestDropInAlone: the unit that it is for is elsewhere, and so are its sockets.
func TestDropInAlone(t *testing.T) {
	dir := write(t, files{"app.service.d/handoffd.conf": good["handoffd"]["app.service"]})
	pairs, err := Load(Folders{Dirs: []string{dir}}, "app.service")
	if err != nil {
		t.Fatal(err)
	}
	if findings := Check(pairs, Options{}); len(findings) > 0 {
		t.Error(findings)
	}
}
