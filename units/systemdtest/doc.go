// Package systemdtest boots a private, real systemd inside a Go test, so that a
// service and its units are tested together, against the manager that will run
// them:
//
//	func TestHello(t *testing.T) {
//		systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
//			m.InstallFile("/usr/local/bin/hello", systemdtest.Build(t, "./cmd/hello"), 0o755)
//			m.InstallUnit("hello.socket", "[Socket]\nListenStream=127.0.0.1:80\n")
//			m.InstallUnit("hello.service", "[Service]\nType=notify\nExecStart=/usr/local/bin/hello\n")
//			m.Systemctl("start", "hello.socket")
//
//			client := http.Client{Transport: &http.Transport{DialContext: m.Dial}}
//			answer, err := client.Get("http://127.0.0.1:80/")
//			...
//			m.Systemctl("restart", "hello.service")
//		})
//	}
//
// The package example is such a test, whole.
//
// # The machine
//
// A [Machine] has its own process, mount, IPC, host name, network and cgroup
// namespaces. Its root folder is an overlay: it begins as the host's root folder
// (or that of [Options].Root) and what is written to it lasts as long as the
// machine. What the root's owner has put into /etc/systemd is not there, and of
// what the vendor's units would start there are the journal, systemd-tmpfiles
// and D-Bus: a machine runs what the test installs. DynamicUser=, PrivateUsers=
// and the other sandboxing settings work, and so do Delegate= and user managers
// (user@.service, where the root has pam_systemd).
//
// The network is a loopback interface, so every machine has all ports to
// itself: tests may run in parallel. A test reaches its machine's network with
// [Machine.Dial], its files with [Machine.Path], and runs commands inside with
// [Machine.Command].
//
// Units inside cannot set the host's clock, load modules or write the host's
// sysctls; still, this is a rig for tests and not a sandbox. Code that runs
// inside as root is trusted code.
//
// A machine boots in about half a second. It ends with the test, whatever the
// test does: when it fails or panics, and also when the test process is killed,
// because a process apart from it waits for that. What is left when both are
// killed is removed by the next Boot.
//
// # What it takes
//
// Linux 5.7 or later, root, a cgroup2 file system (it may be mounted anywhere,
// next to version 1 too), and util-linux. systemd need not run on the host. In a
// container it takes a privileged one. Elsewhere tests are skipped, and say why;
// where the environment variable HOLDFAST_E2E is "require", as it should be in
// CI, they fail instead. A machine has those cgroup controllers that the top of
// the host's hierarchy hands on (cgroup.subtree_control); with none, MemoryMax=
// and the like have no effect.
//
// # Other systemds
//
// The command mkroot builds root folders with systemd 247, 252, 257 and 262,
// from the Debian releases that have them, in half a minute each:
//
//	go run github.com/holdfast-go/holdfast/units/systemdtest/mkroot all
//
// [Run] runs a test on each that the environment variable HOLDFAST_SYSTEMD names:
// "all", or a list such as "252,262", in which "host" stands for the host's own.
// Without the variable it is the host's alone. The folders stand in
// $HOLDFAST_ROOTS, or else in holdfast/roots in the user's cache folder (on Linux
// $XDG_CACHE_HOME or $HOME/.cache). A test that needs more than they hold names
// the Debian packages in [Options].
//
//	sudo -E env HOLDFAST_SYSTEMD=all HOLDFAST_E2E=require go test ./...
package systemdtest
