// Package units holds the pairs of unit files to copy, renders pairs for other
// programs, and reads unit files.
//
// The pairs are correct as they stand, and each line that matters says why it is
// there:
//
//	holdfast-hello         a service that inherits its socket, and keeps nothing else
//	holdfast-http          a service that leaves connections in the fd store
//	holdfast-app           a program under handoffd, reloaded by "systemctl reload"
//	holdfast-app-signal    the same by Type=notify-reload
//	holdfast-accept        a program that is started for each connection
//	holdfast-statsd        datagrams (UDP)
//	holdfast-unix          a Unix socket
//	holdfast-two           several sockets with names of their own
//	holdfast-user          a service of a user
//	holdfast-container     a container (Podman quadlet)
//	holdfast-starman       Starman, a program of start_server, under handoffd
//
// and systemd-journal-gatewayd.service.d/handoffd.conf puts handoffd around a service
// that is there. holdfast-echo, holdfast-chat, holdfast-grpc, holdfast-scgi,
// holdfast-upgrade and holdfast-worker are those of further examples. [Read] returns
// their texts, [Render] a pair for another program:
//
//	pair, err := units.Render(units.Description{
//		Name:    "app",
//		Kind:    units.KindHandoffd,
//		Sockets: []units.Socket{{Name: "http", Network: "tcp", Address: ":80"}},
//		Command: []string{"/usr/bin/app", "--quiet"},
//	})
//
// So does the command `handoffd unit`. [Parse] reads a unit file with the line of
// each option, as systemd.syntax(7) says.
//
// The tests of this repository boot a real systemd with these very files.
package units

import (
	"embed"
	"fmt"
)

//go:embed *.socket *.service *.container *.service.d/*.conf
var files embed.FS

// Read returns the text of the unit file name, such as "holdfast-http.socket".
// For a name that is not among the pairs, errors.Is finds fs.ErrNotExist.
func Read(name string) (string, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("units: read %q: %w", name, err)
	}
	return string(text), nil
}
