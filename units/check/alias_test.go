package check

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSocketOfAlias: a socket that starts a service by a link to it is one of its
// sockets, by Service= as by its own name.
func TestSocketOfAlias(t *testing.T) {
	dir := write(t, files{
		"app.service":   "[Service]\nType=notify\nExecStart=/bin/app\nRemainAfterExit=yes\n",
		"other.socket":  "[Socket]\nListenStream=8080\nService=third.service\n",
		"second.socket": "[Socket]\nListenStream=8081\n",
		"lone.socket":   "[Socket]\nListenStream=8082\n",
	})
	for _, link := range [][2]string{{"app.service", "second.service"}, {"second.service", "third.service"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"app.service", "second.service", "third.service", "other.socket", "second.socket"} {
		pairs, err := Load(Folders{Dirs: []string{dir}}, name)
		if err != nil {
			t.Fatal(err)
		}
		var sockets []string
		for _, s := range pairs[0].Sockets {
			sockets = append(sockets, s.Name)
		}
		slices.Sort(sockets)
		if want := []string{"other.socket", "second.socket"}; len(pairs) != 1 || !slices.Equal(sockets, want) {
			t.Errorf("%s has the sockets %q, want %q", name, sockets, want)
		}
		if got := found(Check(pairs, Options{})); !slices.Contains(got, "remain-after-exit") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
