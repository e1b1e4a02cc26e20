package loadtest

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fdAlarm is an alarm by timerfd_create(2). The runtime's own timers are up to
// a millisecond late when the process is idle, since its poller waits in whole
// milliseconds, and latency counts from when a request is due: the client's own
// lateness would be most of what it measures on a fast server.
type fdAlarm struct {
	file *os.File
	fd   int
}

// newAlarm returns the exact alarm where there can be one.
func newAlarm() alarm {
	if clockIsFake() {
		return newTimerAlarm()
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimerAlarm() // late is better than not at all
	}
	return &fdAlarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd}
}

// clockIsFake reports whether this is a bubble of testing/synctest, whose time
// the kernel knows nothing of.
func clockIsFake() bool {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return false
	}
	return time.Since(time.Unix(ts.Unix())).Abs() > time.Minute
}

func (a *fdAlarm) wait(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))} // 0 would disarm it
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		time.Sleep(d)
		return
	}
	var expirations [8]byte
	_, _ = a.file.Read(expirations[:]) // its error is that it was woken
}

func (a *fdAlarm) wake()  { _ = a.file.SetReadDeadline(time.Unix(1, 0)) }
func (a *fdAlarm) close() { _ = a.file.Close() }
