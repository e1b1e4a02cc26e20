//go:build linux && (arm64 || loong64 || riscv64)

package accepting

import "golang.org/x/sys/unix"

// The C libraries of these make ppoll and pselect6 of poll and select.
var archCalls = map[uint64]waitCall{unix.SYS_ACCEPT: {"accept", oneDescriptor}}
