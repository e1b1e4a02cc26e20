//go:build linux && !amd64 && !arm64 && !loong64 && !riscv64

package accepting

// On these a program that waits in accept(2), poll(2) or select(2) is seen only by
// the connections that it has accepted.
var archCalls map[uint64]waitCall
