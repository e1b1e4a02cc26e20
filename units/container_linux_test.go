package units

import (
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestContainerServes: Podman makes a service of the quadlet and passes the socket
// in, and nobody is refused when the container is restarted.
func TestContainerServes(t *testing.T) {
	onMachines(t, systemdtest.Options{Packages: []string{"podman"}}, func(t *testing.T, m *systemdtest.Machine) {
		const image = "/run/image"
		m.InstallFile(image+"/holdfast-http", systemdtest.Build(t, examples+"http"), 0o755)
		// No overlay file system on one.
		m.WriteFile("/etc/containers/storage.conf", []byte("[storage]\ndriver = \"vfs\"\ngraphroot = \"/run/storage\"\nrunroot = \"/run/storage.run\"\n"), 0o644)
		// A machine may have no controllers to limit anything with.
		m.WriteFile("/etc/containers/containers.conf", []byte("[containers]\npids_limit = 0\n"), 0o644)
		m.Output("tar", "-C", image, "-cf", image+".tar", ".")
		m.Output("podman", "import", "--change", `ENTRYPOINT ["/holdfast-http"]`, image+".tar", "localhost/holdfast-http")
		// Machines hide generators, and this one makes the service.
		m.Output("rm", "/etc/systemd/system-generators/podman-system-generator")

		const name = "holdfast-container"
		d := described[name]
		d.Name = name
		m.InstallUnit(name+".socket", pairs(t)[name+".socket"])
		m.WriteFile("/etc/containers/systemd/"+name+".container", []byte(pairs(t)[name+".container"]), 0o644)
		m.DaemonReload()
		if out := analyze(t, m, "verify", "--man=no", "/run/systemd/generator/"+name+".service", "/etc/systemd/system/"+name+".socket"); out != "" {
			t.Errorf("systemd-analyze says:\n%s", out)
		}
		m.Systemctl("start", name+".socket", name+".service")
		defer m.Systemctl("stop", name+".socket", name+".service")
		load := startLoad(t, m, d.Sockets[0], false)
		for range 3 {
			want := load.Counts().OK + 200
			waitFor(t, "200 more answers", func() bool { return load.Counts().OK >= want })
			m.Systemctl("restart", name+".service")
		}
		load.Stop()
		result, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := result.Err(); err != nil {
			t.Error(err)
		}
		if c := result.Total.Counts; c.OK < 600 {
			t.Errorf("%d requests were answered, want 600", c.OK)
		}
	})
}
