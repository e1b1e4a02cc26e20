package helpertest

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Main(m, map[string]func([]string) error{
		"echo": func(args []string) error { _, err := fmt.Print(strings.Join(args, " ")); return err },
		"fail": func([]string) error { return errors.New("as told") },
	})
}

func TestCommand(t *testing.T) {
	cases := []struct {
		helper string
		args   []string
		out    string
		status int
	}{
		{"echo", []string{"a", "b"}, "a b", 0},
		{"fail", nil, "helper fail: as told\n", 1},
		{"none", nil, "there is no helper \"none\" among [\"echo\" \"fail\"]\n", 2},
	}
	for _, c := range cases {
		t.Run(c.helper, func(t *testing.T) {
			cmd := Command(t, c.helper, c.args...)
			cmd.Stderr = nil
			out, err := cmd.CombinedOutput()
			status := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				status = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if string(out) != c.out || status != c.status {
				t.Errorf("got %q and status %d, want %q and %d", out, status, c.out, c.status)
			}
		})
	}
}
