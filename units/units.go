// Package units holds the .socket and .service pairs to copy: each is correct
// as it stands, and each line that matters says why it is there.
//
// The tests of this repository boot a real systemd with these very files.
package units

import (
	"embed"
	"fmt"
)

//go:embed *.socket *.service
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
