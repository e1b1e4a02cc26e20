package accepting

import "golang.org/x/sys/unix"

var archCalls = map[uint64]waitCall{
	unix.SYS_ACCEPT: {"accept", oneDescriptor},
	unix.SYS_POLL:   {"poll", pollDescriptor},
	unix.SYS_SELECT: {"select", setDescriptor},
}
