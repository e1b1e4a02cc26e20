package activation

import (
	"fmt"
	"math"
)

// VsockAddr is the address of a vsock socket, vsock(7), by which virtual machines
// and their host talk: a machine's number and a port. Package net does not know
// the family; Listener and Conn return types of this package for it.
type VsockAddr struct {
	CID, Port uint32
}

// Network returns "vsock".
func (a *VsockAddr) Network() string { return "vsock" }

// String returns CID:PORT, with "any" for a socket that serves every CID.
func (a *VsockAddr) String() string {
	if a.CID == math.MaxUint32 {
		return fmt.Sprintf("any:%d", a.Port)
	}
	return fmt.Sprintf("%d:%d", a.CID, a.Port)
}
