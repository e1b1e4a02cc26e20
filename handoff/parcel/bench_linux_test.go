package parcel

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCarry carries N idle connections through a parcel and adopts them,
// against the floor of the same run: sendmsg(2) and recvmsg(2) of the same
// descriptors in messages of 253 with nothing else, into a table that has room.
// Ratios are of the sums. Conn is adopted without being used; polled is a Conn that
// the poller knows, as it does from the first Read on; fileconn is what net.FileConn,
// the only way to a *net.TCPConn, takes by itself, without the socket options that
// netconn keeps as they were.
//
//	go test -run '^$' -bench Carry -benchtime 20x ./handoff/parcel
//
// On two busy cores a Conn takes 2 to 4 times the floor of 0.3 to 1.2 µs, the less
// the more there are; net.FileConn takes 11 to 28 times, and netconn 12 to 34.
func BenchmarkCarry(b *testing.B) {
	for _, n := range []int{1000, 4000, 16000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkCarry(b, n) })
	}
}

func benchmarkCarry(b *testing.B, n int) {
	if limit := fileRlimit(); int64(n)+1000 > limit {
		b.Skipf("RLIMIT_NOFILE is %d", limit)
	}
	fds := idleConnections(b, n)
	defer func() { closeAll(fds) }()
	var floor, own, used, real, plain time.Duration
	for b.Loop() {
		var d time.Duration
		d, fds = floorCarry(b, fds)
		floor += d
		d, fds = carry(b, fds, func(it *Item) syscall.Conn { return must(it.Conn(0)) })
		own += d
		d, fds = carry(b, fds, func(it *Item) syscall.Conn {
			c := must(it.Conn(0))
			c.SetReadDeadline(time.Time{}) // makes it known to the poller
			return c
		})
		used += d
		d, fds = carry(b, fds, func(it *Item) syscall.Conn { return must(it.NetConn(0)).(syscall.Conn) })
		real += d
		d, fds = carry(b, fds, func(it *Item) syscall.Conn {
			f := must(it.File(0))
			defer f.Close()
			return must(net.FileConn(f)).(syscall.Conn)
		})
		plain += d
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / float64(n) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(per(floor), "floor-ns/conn")
	b.ReportMetric(per(own), "conn-ns/conn")
	b.ReportMetric(per(own)/per(floor), "conn/floor")
	b.ReportMetric(per(used)/per(floor), "polled/floor")
	b.ReportMetric(per(real)/per(floor), "netconn/floor")
	b.ReportMetric(per(plain)/per(floor), "fileconn/floor")
}

// idleConnections returns the server sides of n TCP connections, of which the
// other side is one socket each, closed by then: only a descriptor each counts.
func idleConnections(b *testing.B, n int) []int {
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	fds := make([]int, 0, n)
	for range n {
		c := must(net.Dial("tcp", ln.Addr().String()))
		s := must(ln.Accept())
		control(b, s.(syscall.Conn), func(fd int) { fds = append(fds, must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))) })
		s.Close()
		c.(*net.TCPConn).CloseWrite()
		c.(*net.TCPConn).SetLinger(-1)
		c.Close()
	}
	return fds
}

func floorCarry(b *testing.B, fds []int) (time.Duration, []int) {
	p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	must(raiseSendBuffer(p[0], defaultSendBuffer))
	data := make([]byte, 1)
	start := time.Now()
	for i := 0; i < len(fds); i += maxDescriptors {
		if err := unix.Sendmsg(p[0], data, unix.UnixRights(fds[i:min(i+maxDescriptors, len(fds))]...), nil, 0); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(start)
	closeAll(fds)
	growTable(p[0], int64(len(fds)))
	got := make([]int, 0, len(fds))
	oob := make([]byte, unix.CmsgSpace(4*maxDescriptors))
	start = time.Now()
	for len(got) < len(fds) {
		_, n, flags, _, err := unix.Recvmsg(p[1], data, oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil || flags&unix.MSG_CTRUNC != 0 {
			b.Fatal(flags, err)
		}
		got = append(got, must(rightsIn(oob[:n]))...)
	}
	return took + time.Since(start), got
}

// carry puts fds into a parcel, receives and adopts them. Closing the sender's
// copies is not measured, as in the floor.
func carry(b *testing.B, fds []int, adopt func(*Item) syscall.Conn) (time.Duration, []int) {
	ctx := context.Background()
	conns := make([]syscall.Conn, len(fds))
	for i, fd := range fds {
		conns[i] = os.NewFile(uintptr(fd), "")
	}
	start := time.Now()
	w, f := newParcel(b, WriterOptions{})
	for _, c := range conns {
		if err := w.Put(ctx, Entry{Kind: "conn", Name: "echo", Descriptors: []syscall.Conn{c}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(ctx); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	for _, c := range conns {
		c.(io.Closer).Close()
	}
	adopted := conns[:0]
	start = time.Now()
	r := newReader(b, f)
	if _, err := r.Peek(nil); err != nil {
		b.Fatal(err)
	}
	for {
		items, err := r.Receive(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, it := range items {
			adopted = append(adopted, adopt(it))
		}
	}
	took += time.Since(start)
	r.Close()
	f.Close()
	if len(adopted) != len(fds) {
		b.Fatalf("%d connections of %d arrived", len(adopted), len(fds))
	}
	fds = fds[:0]
	for _, c := range adopted {
		control(b, c, func(fd int) { fds = append(fds, must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))) })
		c.(io.Closer).Close()
	}
	return took, fds
}
