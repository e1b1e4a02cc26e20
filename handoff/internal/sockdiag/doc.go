// Package sockdiag asks the kernel about sockets of other processes: which socket
// accepted a connection, who waits in a listener's queue, and which file a Unix
// listener is bound to. See sock_diag(7).
//
// It sees the sockets of this process's network namespace. Where AF_NETLINK is
// forbidden (RestrictAddressFamilies= of systemd.exec(5)), every function returns an
// error for which errors.Is finds syscall.EAFNOSUPPORT or syscall.EPERM.
package sockdiag
