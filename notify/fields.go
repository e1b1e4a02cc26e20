package notify

import (
	"strconv"
	"syscall"
	"time"
)

// The constructors below make the fields of sd_notify(3), for Send. An older
// manager ignores those it does not know.

// Ready ends the start of the service, and a reload: READY=1.
func Ready() Field { return Field{"READY", "1"} }

// Reloading begins a reload: RELOADING=1. Send adds the MONOTONIC_USEC= that
// systemd asks for beside it. It must be followed by Ready on every path, also
// when the reload failed, or `systemctl reload` hangs.
func Reloading() Field { return Field{"RELOADING", "1"} }

// Stopping begins the shutdown: STOPPING=1. systemd ignores READY and RELOADING
// after it.
func Stopping() Field { return Field{"STOPPING", "1"} }

// Status is the line that `systemctl status` shows: STATUS=. It must be UTF-8
// without line breaks. Notifier.Status coalesces many of them.
func Status(text string) Field { return Field{"STATUS", text} }

// Errno tells why the service failed: ERRNO=.
func Errno(e syscall.Errno) Field { return Field{"ERRNO", strconv.Itoa(int(e))} }

// BusError tells why the service failed, as a D-Bus error name: BUSERROR=.
func BusError(name string) Field { return Field{"BUSERROR", name} }

// VarlinkError tells why the service failed, as a Varlink error name:
// VARLINKERROR= (v257).
func VarlinkError(name string) Field { return Field{"VARLINKERROR", name} }

// ExitStatus tells the status the service will exit with: EXIT_STATUS=.
func ExitStatus(code int) Field { return Field{"EXIT_STATUS", strconv.Itoa(code)} }

// NotifyAccess changes who may send from now on: NOTIFYACCESS= with none, main,
// exec or all (v254).
func NotifyAccess(access string) Field { return Field{"NOTIFYACCESS", access} }

// MainPID names the main process: MAINPID=. systemd refuses a process outside
// the service's cgroup unless root sends.
func MainPID(pid int) Field { return Field{"MAINPID", strconv.Itoa(pid)} }

// MainPIDFDID is the inode of a pidfd of the process that MAINPID= names, so
// that the manager can tell a reused PID: MAINPIDFDID= (v257).
func MainPIDFDID(inode uint64) Field {
	return Field{"MAINPIDFDID", strconv.FormatUint(inode, 10)}
}

// MainPIDFD names the main process by the one pidfd that goes with the message:
// MAINPIDFD=1 (v257). Send it with SendFiles.
func MainPIDFD() Field { return Field{"MAINPIDFD", "1"} }

// WatchdogPing keeps the service alive: WATCHDOG=1. Notifier.Watchdog sends it.
func WatchdogPing() Field { return Field{"WATCHDOG", "1"} }

// WatchdogTrigger has the manager act at once as if the watchdog had run out:
// WATCHDOG=trigger (v243).
func WatchdogTrigger() Field { return Field{"WATCHDOG", "trigger"} }

// WatchdogTimeout changes the watchdog's time: WATCHDOG_USEC=. A running
// Notifier.Watchdog keeps the pace it began with.
func WatchdogTimeout(d time.Duration) Field { return Field{"WATCHDOG_USEC", usec(d)} }

// ExtendTimeout asks for d more, from now on, for the start, reload, run time or
// stop that is under way: EXTEND_TIMEOUT_USEC= (v236).
func ExtendTimeout(d time.Duration) Field { return Field{"EXTEND_TIMEOUT_USEC", usec(d)} }

// RestartReset sets the service's restart counter back: RESTART_RESET=1 (v258).
// systemd takes no notice of it during a reload.
func RestartReset() Field { return Field{"RESTART_RESET", "1"} }

// FDStore leaves the descriptors of the message in the manager's store:
// FDSTORE=1. Notifier.Store sends it.
func FDStore() Field { return Field{"FDSTORE", "1"} }

// FDStoreRemove drops what is stored under FDNAME=: FDSTOREREMOVE=1 (v236).
// Notifier.Remove sends it.
func FDStoreRemove() Field { return Field{"FDSTOREREMOVE", "1"} }

// FDName names what FDStore stores and FDStoreRemove drops: FDNAME=.
func FDName(name string) Field { return Field{"FDNAME", name} }

// NoFDPoll keeps a stored descriptor although its other end hung up: FDPOLL=0
// (v246).
func NoFDPoll() Field { return Field{"FDPOLL", "0"} }

// usec writes a duration in microseconds. A negative one becomes 0, which
// asks for no time at all.
func usec(d time.Duration) string {
	return strconv.FormatInt(max(d, 0).Microseconds(), 10)
}
