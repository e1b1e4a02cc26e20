package notify

import (
	"strconv"
	"syscall"
)

// The constructors below make the fields of sd_notify(3) that services send beside
// others in one message. Field lists those that have none.

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

// MainPID names the main process: MAINPID=. systemd refuses a process outside
// the service's cgroup unless root sends.
func MainPID(pid int) Field { return Field{"MAINPID", strconv.Itoa(pid)} }

// WatchdogPing keeps the service alive: WATCHDOG=1. Notifier.Watchdog sends it.
func WatchdogPing() Field { return Field{"WATCHDOG", "1"} }

// What the methods of Notifier send.
var (
	fdStore       = Field{"FDSTORE", "1"}
	fdStoreRemove = Field{"FDSTOREREMOVE", "1"}
	noFDPoll      = Field{"FDPOLL", "0"}
)

func fdName(name string) Field { return Field{"FDNAME", name} }
