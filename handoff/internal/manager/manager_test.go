package manager

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// start returns a Manager of a service manager that records what it is told, and the
// channel by which the timers of the Manager reach the test, which is the owner.
func start(t *testing.T) (*Manager, *notifytest.Manager, <-chan func()) {
	t.Helper()
	leaktest.Check(t)
	recorder := notifytest.New(t)
	n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + recorder.Socket()}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan func())
	ended := make(chan struct{})
	post := func(f func()) bool {
		select {
		case calls <- f:
			return true
		case <-ended:
			return false
		}
	}
	m := New(n, post, func(err error) { t.Errorf("reported: %v", err) })
	t.Cleanup(func() {
		close(ended)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, recorder, calls
}

// sent returns what the recorder was told until now.
func sent(m *Manager, recorder *notifytest.Manager) (list []string) {
	<-m.Mark()
	m.n.Barrier(context.Background())
	for _, message := range recorder.Messages() {
		var fields []string
		for _, f := range message {
			fields = append(fields, f.Key+"="+f.Value)
		}
		list = append(list, strings.Join(fields, " "))
	}
	recorder.Reset()
	return list
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: the manager is told %q, want %q", what, got, want)
	}
}

// withoutTimes takes MONOTONIC_USEC= out, which differs.
func withoutTimes(list []string) []string {
	for i, text := range list {
		list[i], _, _ = strings.Cut(text, " MONOTONIC_USEC=")
	}
	return list
}

// TestStates: what the manager is told of the service, again after a replacement, and
// nothing before the service was ready.
func TestStates(t *testing.T) {
	m, recorder, _ := start(t)
	m.Restore(State{})
	m.Repeat()
	expect(t, "before it is ready", sent(m, recorder))
	m.SetStatus("one\ntwo")
	m.Ready()
	expect(t, "ready", sent(m, recorder), "READY=1 STATUS=one two")
	m.Repeat()
	expect(t, "again", withoutTimes(sent(m, recorder)), "RELOADING=1", "READY=1 STATUS=one two")
	m.Reloading()
	m.Repeat()
	expect(t, "in a reload", withoutTimes(sent(m, recorder)), "RELOADING=1", "RELOADING=1")
	m.RefuseReload()
	m.Stopping()
	expect(t, "at the end", withoutTimes(sent(m, recorder)), "RELOADING=1", "READY=1", "STOPPING=1")
	m.SetStatus("three")
	m.Status()
	m.Then(func() { m.n.Send(context.Background(), notify.Errno(1)) }) // which flushes the status
	expect(t, "a status", sent(m, recorder), "STATUS=three", "ERRNO=1")

	want := State{Keeps: true, Ready: true, Reload: true, Text: "text", Excuses: FailureDetails{"1", "a", "b", "2"}}
	next := New(nil, func(func()) bool { return false }, func(error) {})
	defer next.Close()
	next.Restore(want)
	if got := next.Snapshot(); got != want || !next.Known() || !next.Keeps() {
		t.Errorf("goes on with %+v, want %+v", got, want)
	}
}

func TestFailureDetails(t *testing.T) {
	for _, c := range []struct {
		messages []string
		want     FailureDetails
		text     string
	}{
		{nil, FailureDetails{}, ""},
		{[]string{"ERRNO=2"}, FailureDetails{"2"}, "ERRNO=2 (no such file or directory)"},
		{[]string{"ERRNO=2", "ERRNO=0"}, FailureDetails{"0"}, ""},
		{[]string{"ERRNO=many"}, FailureDetails{"many"}, "ERRNO=many"},
		{[]string{"ERRNO=-1"}, FailureDetails{"-1"}, "ERRNO=-1"},
		{[]string{"BUSERROR=17"}, FailureDetails{"", "17"}, "BUSERROR=17"},
		{[]string{"ERRNO=5", "BUSERROR=a"}, FailureDetails{"5", "a"}, "ERRNO=5 (input/output error), BUSERROR=a"},
		{[]string{"BUSERROR=a.b\nVARLINKERROR=c.d\nEXIT_STATUS=3"}, FailureDetails{"", "a.b", "c.d", "3"}, "BUSERROR=a.b, VARLINKERROR=c.d"},
		{[]string{"BUSERROR=a", "BUSERROR=\x1b[0m", "BUSERROR=" + strings.Repeat("x", failureBytes+1)}, FailureDetails{"", "a"}, "BUSERROR=a"},
	} {
		var d FailureDetails
		for _, text := range c.messages {
			m, err := notify.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			d.Note(m)
		}
		if d != c.want || d.String() != c.text {
			t.Errorf("%q: %q, %q, want %q, %q", c.messages, d, d.String(), c.want, c.text)
		}
	}
}

// TestForwardFailure: failure details go at once, those after them wait, and only the
// last of these is told.
func TestForwardFailure(t *testing.T) {
	m, recorder, calls := start(t)
	m.Restore(State{Excuses: FailureDetails{"7"}})
	var now FailureDetails
	known := true
	current := func() (FailureDetails, bool) { return now, known }
	forward := func(d FailureDetails) {
		now = d
		m.ForwardFailure(current)
	}
	m.FlushFailure() // nothing waits
	known = false
	forward(FailureDetails{"1"})
	known = true
	forward(FailureDetails{"7"})
	expect(t, "nothing new", sent(m, recorder))
	forward(FailureDetails{"", "a"})
	forward(FailureDetails{"1", "b"})
	forward(FailureDetails{"2", "b"})
	expect(t, "the first", sent(m, recorder), "ERRNO=0 BUSERROR=a")
	(<-calls)()
	expect(t, "the last", sent(m, recorder), "ERRNO=2 BUSERROR=b")
	forward(FailureDetails{"3"})
	expect(t, "one that waits", sent(m, recorder))
	m.FlushFailure()
	expect(t, "the last word", sent(m, recorder), "ERRNO=3 BUSERROR=")
	if told := m.Snapshot().Excuses; told != (FailureDetails{"3"}) {
		t.Errorf("it was told %q", told)
	}
}

// TestExtend: it is asked at once, and again until stop, which waits for nobody who
// minds the context.
func TestExtend(t *testing.T) {
	leaktest.Check(t)
	asked := make(chan struct{})
	first := true
	stop := Extend(time.Millisecond, func(ctx context.Context) {
		if first {
			first = false
			return
		}
		select {
		case asked <- struct{}{}:
		case <-ctx.Done():
		}
	})
	if first {
		t.Error("it is not asked at once")
	}
	for range 3 {
		<-asked
	}
	stop()
	select {
	case <-asked:
		t.Error("it is asked after the end")
	default:
	}

	m, recorder, _ := start(t)
	m.Restore(State{})
	for range 3 {
		m.Extend(true)
	}
	expect(t, "busy", sent(m, recorder), "EXTEND_TIMEOUT_USEC=30000000")
	m.ExtendAnew()
	m.Extend(true)
	expect(t, "anew", sent(m, recorder), "EXTEND_TIMEOUT_USEC=30000000")
	m.Extend(false)
	m.Extend(true)
	expect(t, "busy again", sent(m, recorder), "EXTEND_TIMEOUT_USEC=30000000")
}

// TestFullQueue: the end of an extension does not wait for a manager that reads nothing.
func TestFullQueue(t *testing.T) {
	leaktest.Check(t)
	m := New(nil, func(func()) bool { return false }, func(error) {})
	m.Probe(false)
	blocked, entered := make(chan struct{}), make(chan struct{})
	m.Then(func() { close(entered); <-blocked })
	<-entered
	for len(m.queue) < pending-1 {
		m.Stopping()
	}
	asks, asking := 0, make(chan struct{})
	stop := Extend(time.Millisecond, func(ctx context.Context) { // the first one fills it
		if asks++; asks == 2 {
			close(asking)
		}
		m.askForTime(ctx)
	})
	<-asking
	stop()
	if asks != 2 || len(m.queue) != pending {
		t.Errorf("asked %d times, %d messages wait", asks, len(m.queue))
	}
	close(blocked)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if m.Keeps() {
		t.Error("there is no manager, and it keeps")
	}
}
