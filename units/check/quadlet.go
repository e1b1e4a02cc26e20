package check

import (
	"slices"

	"github.com/holdfast-go/holdfast/units"
)

// quadlet is the kind of file from which Podman's generator makes a service
// (podman-systemd.unit(5)).
const quadlet = "container"

// quadletSections are for Podman, and not for systemd.
var quadletSections = []string{"Container", "Quadlet"}

// generate makes of a quadlet's options those of the service: as far as the rules
// ask, what Podman's generator does.
func generate(path string, options []units.Option) []units.Option {
	var service []units.Option
	for _, o := range [][2]string{
		{"Type", "notify"}, {"NotifyAccess", "all"}, {"KillMode", "mixed"}, {"Delegate", "yes"}, {"ExecStart", "/usr/bin/podman run"},
	} {
		service = append(service, units.Option{Section: "Service", Name: o[0], Value: o[1], File: path, Line: 1})
	}
	return append(service, slices.DeleteFunc(options, func(o units.Option) bool {
		return slices.Contains(quadletSections, o.Section)
	})...)
}
