// Package probe asks a program for an answer while another generation of it serves on
// the same sockets, and finds out which of the two has answered.
//
// A probe connects, and sends its request but for the last byte. So whoever has
// accepted the connection still has it when the kernel is asked which socket that is
// (sock_diag(7)), and /proc which process has it. Then the last byte goes out, and
// the answer is judged. Probes are repeated until the new generation has given as many
// good answers as are wanted.
//
// Where the old generation takes one connection after another, or where it cannot be
// seen who has taken them, the cgroup of the old one is frozen until somebody has
// accepted: that is the new one. Clients of the old one wait meanwhile, for some
// milliseconds and never longer than maxFrozen.
//
// A server that answers before the request is complete can only be probed in this
// second way. One that wants TLS or the PROXY protocol cannot be asked by http: use a
// command.
package probe
