package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/daemon"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestStorm: reloads of every kind, and replacements of handoffd itself, come in each
// other's middle, and at last the stop does. Nobody is refused before that, all who
// ask are answered, and nothing is left.
func TestStorm(t *testing.T) {
	const storm, pause, clients, askers = 2 * time.Second, 50 * time.Millisecond, 3, 3
	d := standalone(t, "--hold-timeout", "200ms", "--", executable(t))
	var stopping atomic.Bool
	var served, asked atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			client := http.Client{Timeout: poll.Patience, Transport: &http.Transport{DialContext: dialUnix(d.socket)}}
			defer client.CloseIdleConnections()
			for !stopping.Load() {
				r, err := client.Get("http://localhost/")
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
				switch {
				case err == nil:
					served.Add(1)
				case !stopping.Load():
					t.Error(err)
				}
			}
		})
	}
	things := [][]string{
		{"reload"}, {"reload"}, {"reload", "--hold"}, {"reload", "--dry-run"}, {"commit"}, {"abort"}, {"reexec"}, {"drain"}, {"undrain"}, {"status"},
	}
	signals := []syscall.Signal{syscall.SIGHUP, daemon.SignalReload, daemon.SignalReexec}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range askers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for !stopping.Load() {
				if n := random.IntN(len(things) + len(signals)); n < len(signals) {
					d.cmd.Process.Signal(signals[n])
				} else {
					// What comes of it depends on the others.
					verb(t, append(things[n-len(signals)], "--control", d.control)...)
				}
				asked.Add(1)
				time.Sleep(time.Duration(random.Int64N(int64(pause))))
			}
		})
	}
	time.Sleep(storm)
	stopping.Store(true)
	if err := d.stop(daemon.SignalStop); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	all.Wait()
	if served.Load() == 0 || asked.Load() == 0 {
		t.Errorf("%d requests were served while %d things were asked", served.Load(), asked.Load())
	}
	t.Logf("%d requests, %d things asked", served.Load(), asked.Load())
	if strings.Contains(d.out.String(), "DATA RACE") {
		t.Error("there is a race")
	}
	if left := processesOf(t, filepath.Dir(d.control)); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

func executable(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// processesOf returns the command lines of those that have dir in their arguments or
// their environment.
func processesOf(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		args, _ := os.ReadFile(filepath.Join(e, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(e, "environ"))
		if bytes.Contains(append(args, env...), []byte(dir)) {
			list = append(list, fmt.Sprintf("%s: %s", e, args))
		}
	}
	return list
}
