package manager

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/notify"
)

// failureKeys are the notify keys that explain a failure, each with the value that
// means "no failure".
var failureKeys = [...]notify.Field{{Key: "ERRNO", Value: "0"}, {Key: "BUSERROR"}, {Key: "VARLINKERROR"}, {Key: "EXIT_STATUS"}}

// FailureDetails are what a program said of why it fails, one value for each of
// failureKeys; "" where it said nothing.
type FailureDetails [len(failureKeys)]string

// failureBytes is how long a value may be.
const failureBytes = 256

// Note takes the values over that m has. One that is too long, or could do something to
// a terminal, is as good as none.
func (d *FailureDetails) Note(m notify.Message) {
	for i, e := range failureKeys {
		if text, ok := m.Get(e.Key); ok && report.Clip(text, failureBytes) == text {
			d[i] = text
		}
	}
}

// String is for the reason of a failure. EXIT_STATUS= is not in it, because it is known
// how the program has ended.
func (d FailureDetails) String() string {
	var parts []string
	for i, value := range d {
		errno, err := strconv.Atoi(value)
		switch key := failureKeys[i].Key; {
		case value == "" || value == failureKeys[i].Value || key == "EXIT_STATUS":
		case key == "ERRNO" && err == nil && errno > 0:
			parts = append(parts, fmt.Sprintf("ERRNO=%d (%v)", errno, syscall.Errno(errno)))
		default:
			parts = append(parts, key+"="+value)
		}
	}
	return strings.Join(parts, ", ")
}

// since returns the assignments that lead from the details before to d.
func (d FailureDetails) since(before FailureDetails) (fields []notify.Field) {
	for i, e := range failureKeys {
		if d[i] == before[i] {
			continue
		}
		if d[i] != "" {
			e.Value = d[i]
		}
		fields = append(fields, e)
	}
	return fields
}

// failureEvery is the least time between two messages about failure details.
const failureEvery = time.Second

// failure forwards failure details.
type failure struct {
	told    FailureDetails                // what the manager knows
	current func() (FailureDetails, bool) // what it is to know, if it is to know anything
	timer   *time.Timer                   // until it may be told again; nil: it may be now
}

func (f *failure) stop() {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
}

// ForwardFailure tells the manager the failure details that current returns, where they
// are others than it knows, and nothing where current returns false. What comes soon
// after waits, and current is asked again then: a program that sends failure details all
// the time must not keep the manager from its work.
func (m *Manager) ForwardFailure(current func() (details FailureDetails, ok bool)) {
	f := &m.failure
	f.current = current
	if f.timer != nil {
		return
	}
	now, ok := current()
	fields := now.since(f.told)
	if !ok || len(fields) == 0 {
		return
	}
	f.told = now
	m.Send(fields...)
	var t *time.Timer
	t = time.AfterFunc(failureEvery, func() {
		m.post(func() {
			if f.timer == t {
				f.timer = nil
				m.ForwardFailure(f.current)
			}
		})
	})
	f.timer = t
}

// FlushFailure tells the manager at once what waits: who said it says nothing any more.
func (m *Manager) FlushFailure() {
	if m.failure.timer != nil {
		m.failure.stop()
		m.ForwardFailure(m.failure.current)
	}
}
