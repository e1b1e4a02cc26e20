package units

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, name := range []string{"holdfast-http.socket", "holdfast-http.service"} {
		text, err := Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "[Unit]\n") {
			t.Errorf("%s has no [Unit] section", name)
		}
	}
	if _, err := Read("absent.service"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `"absent.service"`) {
		t.Errorf("got %v, want fs.ErrNotExist that names the file", err)
	}
}
