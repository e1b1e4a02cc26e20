package keepalive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/handoff/keepalive"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func init() { keepalive.Helpers["service"] = service }

// What service prints besides.
const (
	generationPrefix = "generation "
	reportPrefix     = "report "
)

// service is a program under systemd that answers the clients of these tests. In
// the end it prints what it did.
func service([]string) error {
	ctx := context.Background()
	svc, err := handoff.Open(ctx, handoff.Options{
		Report: func(err error) { fmt.Println(reportPrefix + strings.ReplaceAll(err.Error(), "\n", "; ")) },
	})
	if err != nil {
		return err
	}
	ln, err := svc.Listen("http", "tcp", "")
	if err != nil {
		return err
	}
	var tracker atomic.Pointer[keepalive.Tracker]
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracker.CompareAndSwap(nil, keepalive.TrackerOf(r))
		keepalive.Echo(w, r)
	})}
	if err := svc.Serve(ln, srv); err != nil {
		return err
	}
	if err := svc.Run(ctx); err != nil {
		return err
	}
	t := tracker.Load()
	if t == nil {
		return errors.New("there were no requests")
	}
	b, err := json.Marshal(generation{os.Getpid(), t.Counts()})
	if err != nil {
		return err
	}
	fmt.Printf("%s%s\n", generationPrefix, b)
	return nil
}

// A generation is what service says of itself.
type generation struct {
	PID    int
	Counts keepalive.Counts
}

// The program of the unit is the helper "service" of the test binary.
const (
	program = "/usr/local/bin/service"
	address = "127.0.0.1:8080"

	socketUnit = `[Socket]
ListenStream=` + address + `
FileDescriptorName=http
NonBlocking=yes
`
	serviceUnit = `[Unit]
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=` + program + `
Environment=` + helpertest.Variable + `=service
FileDescriptorStoreMax=16
NonBlocking=yes
`
)

// TestSystemdRestarts: no client of any of the ten kinds notices that systemd
// restarts the service.
func TestSystemdRestarts(t *testing.T) {
	const restarts, each = 20, 3
	exe := systemdtest.BuildTest(t)
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile(program, exe, 0o755)
		m.InstallUnit("app.socket", socketUnit)
		m.InstallUnit("app.service", serviceUnit)
		m.Systemctl("start", "app.socket", "app.service")
		l := keepalive.StartLoadBy(t, m.Dial, address, each)
		for range restarts {
			keepalive.Progress(l, t, each)
			m.Systemctl("restart", "app.service")
		}
		keepalive.Progress(l, t, each)
		keepalive.Check(l, t, false)
		m.Systemctl("stop", "app.socket", "app.service")
		checkJournal(t, m.Journal("-u", "app.service"), restarts+1)
	})
}

// checkJournal fails t unless so many generations, each a process of its own,
// have given connections away, and nothing went wrong.
func checkJournal(t *testing.T, journal string, generations int) {
	t.Helper()
	pids := make(map[int]bool)
	var idle, partial, adopted uint64
	for line := range strings.Lines(journal) {
		if strings.HasPrefix(line, reportPrefix) {
			t.Error(line)
		}
		text, ok := strings.CutPrefix(line, generationPrefix)
		if !ok {
			continue
		}
		var g generation
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if c := g.Counts; c.Live != 0 || c.Refused != 0 || c.Cut != 0 {
			t.Errorf("after the drain of process %d: %+v", g.PID, c)
		}
		pids[g.PID] = true
		idle += g.Counts.Idle
		partial += g.Counts.Partial
		adopted += g.Counts.Adopted
	}
	t.Logf("%d processes, taken idle %d, in mid-request %d, adopted %d", len(pids), idle, partial, adopted)
	if len(pids) != generations {
		t.Errorf("%d processes were generations, want %d:\n%s", len(pids), generations, journal)
	}
	if idle == 0 || partial == 0 || adopted == 0 {
		t.Errorf("taken idle %d, in mid-request %d, adopted %d: want some of each", idle, partial, adopted)
	}
}
