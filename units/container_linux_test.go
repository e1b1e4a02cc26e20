package units

import (
	"path"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestContainerServes: Podman makes a service of the quadlet and passes the sockets
// in, and nobody is refused when the container is restarted.
func TestContainerServes(t *testing.T) {
	onMachines(t, systemdtest.Options{Packages: []string{"podman"}}, func(t *testing.T, m *systemdtest.Machine) {
		// No overlay file system on one.
		m.WriteFile("/etc/containers/storage.conf", []byte("[storage]\ndriver = \"vfs\"\ngraphroot = \"/run/storage\"\nrunroot = \"/run/storage.run\"\n"), 0o644)
		// A machine may have no controllers to limit anything with.
		m.WriteFile("/etc/containers/containers.conf", []byte("[containers]\npids_limit = 0\n"), 0o644)
		// Machines hide generators, and this one makes the services.
		m.Output("rm", "/etc/systemd/system-generators/podman-system-generator")
		image(t, m, "holdfast-http", examples+"http")
		image(t, m, "holdfast-two", "./testdata/two")

		t.Run("embedded", func(t *testing.T) {
			d := described["holdfast-container"]
			d.Name = "holdfast-container"
			texts := make(map[string]string)
			for file := range rendered(t, d) {
				texts[file] = pairs(t)[file]
			}
			contained(t, m, d, texts)
		})
		t.Run("rendered", func(t *testing.T) {
			d := Description{
				Name: "two", Kind: KindContainer, Systemd: m.Version(), Command: []string{"localhost/holdfast-two"},
				Sockets: []Socket{{"http", "tcp", ":8080"}, {"admin", "tcp", "127.0.0.1:8081"}},
			}
			contained(t, m, d, rendered(t, d))
		})
	})
}

// image makes one of a program alone.
func image(t *testing.T, m *systemdtest.Machine, name, pkg string) {
	t.Helper()
	dir := "/run/image/" + name
	m.InstallFile(dir+"/"+name, systemdtest.Build(t, pkg), 0o755)
	m.Output("tar", "-C", dir, "-cf", dir+".tar", ".")
	m.Output("podman", "import", "--change", `ENTRYPOINT ["/`+name+`"]`, dir+".tar", "localhost/"+name)
}

// contained restarts a container while clients ask on its sockets.
func contained(t *testing.T, m *systemdtest.Machine, d Description, texts map[string]string) {
	service := d.Name + ".service"
	verify := []string{"verify", "--man=no", "/run/systemd/generator/" + service}
	start := []string{service}
	for file, text := range texts {
		if path.Ext(file) == ".container" {
			m.WriteFile("/etc/containers/systemd/"+file, []byte(text), 0o644)
			continue
		}
		m.InstallUnit(file, text)
		verify = append(verify, "/etc/systemd/system/"+file)
		start = append(start, file)
	}
	m.DaemonReload()
	if out := analyze(t, m, verify...); out != "" {
		t.Errorf("systemd-analyze says:\n%s", out)
	}
	m.Systemctl(append([]string{"start"}, start...)...)
	defer m.Systemctl(append([]string{"stop"}, start...)...)
	var loads []*loadtest.Load
	for _, s := range d.Sockets {
		loads = append(loads, startLoad(t, m, s, false))
	}
	for range 3 {
		for _, load := range loads {
			want := load.Counts().OK + 200
			poll.Until(t, "200 more answers", func() bool { return load.Counts().OK >= want })
		}
		m.Systemctl("restart", service)
	}
	for i, load := range loads {
		load.Stop()
		result, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", d.Sockets[i].Name, err)
		}
		if c := result.Total.Counts; c.OK < 600 {
			t.Errorf("%s: %d requests were answered, want 600", d.Sockets[i].Name, c.OK)
		}
	}
}
