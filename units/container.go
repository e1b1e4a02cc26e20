package units

import "strings"

// containerUnit is a quadlet: Podman makes the service of it
// (podman-systemd.unit(5)). That takes Podman 4.4, which Debian has from 13 on; any
// systemd from 247 will do.
func (d Description) containerUnit() *Unit {
	b := newBuilder(d.serviceName())
	b.unit.Comment = "The container of " + strings.Join(d.socketFiles(), " and ") + ", for /etc/containers/systemd: Podman 4.4 and\nlater make " + d.Name + ".service of it."
	b.in("Unit")
	b.add("", "Description", d.Name)
	d.after(b)
	b.in("Container")
	b.add("", "Image", specifiers(d.Command[0]))
	if len(d.Command) > 1 {
		b.add("", "Exec", quoteCommand(d.Command[1:]))
	}
	if d.Ready == "notify" {
		b.add("The program in the container sends READY=1. Without this line the container is\nready once it runs.", "Notify", "true")
	}
	b.add("The sockets are passed in: a server needs no network beside them.", "Network", "none")
	b.flags("", "ReadOnly=true", "NoNewPrivileges=true", "DropCapability=all")
	b.add("How long the program may take to drain; then Podman kills it.", "PodmanArgs", "--stop-timeout="+seconds(d.DrainTimeout))
	b.in("Service")
	d.sockets(b)
	b.add(whyBlock, "NonBlocking", "yes")
	b.add("Longer than Podman waits.", "TimeoutStopSec", seconds(d.stopTimeout()))
	b.add("Podman may have to fetch the image first.", "TimeoutStartSec", "900")
	b.flags("", "Restart=on-failure", "RestartSec=1")
	b.in("Install")
	b.add("", "WantedBy", d.target())
	return b.unit
}
