package probe

import (
	"fmt"
	"net/url"
	"strings"
)

// A Probe is a question.
type Probe struct {
	// Times is how many good answers of the new generation are wanted; 0 is 1.
	Times int

	kind    kind
	name    string // of a passed socket, or of a host
	path    string
	command []string
}

type kind int

const (
	byHTTP kind = iota + 1
	byTCP
	byCommand
)

// Parse reads http://NAME/PATH, tcp, tcp:NAME, or a command, whose words are
// separated by spaces. NAME is that of a passed socket. In a URL it may also be a
// host's, for which the only passed listener is asked.
func Parse(s string) (Probe, error) {
	switch name, named := strings.CutPrefix(s, "tcp:"); {
	case strings.HasPrefix(s, "http://"):
		u, err := url.Parse(s)
		if err != nil {
			return Probe{}, err
		}
		if u.Host == "" || u.User != nil || u.Fragment != "" {
			return Probe{}, fmt.Errorf("%q: want http://NAME/PATH", s)
		}
		return Probe{kind: byHTTP, name: u.Host, path: u.RequestURI()}, nil
	case s == "tcp", named && name != "":
		if !named {
			name = ""
		}
		return Probe{kind: byTCP, name: name}, nil
	case strings.HasPrefix(s, "https://"):
		return Probe{}, fmt.Errorf("%q: there is no probe by TLS; want a command, such as curl with --connect-to", s)
	}
	words := strings.Fields(s)
	if len(words) == 0 || strings.Contains(words[0], ":") {
		return Probe{}, fmt.Errorf("%q: want http://NAME/PATH, tcp, tcp:NAME or a command", s)
	}
	return Probe{kind: byCommand, command: words}, nil
}

func (p Probe) String() string {
	switch p.kind {
	case byHTTP:
		return "http://" + p.name + p.path
	case byTCP:
		if p.name != "" {
			return "tcp:" + p.name
		}
		return "tcp"
	}
	return strings.Join(p.command, " ")
}
