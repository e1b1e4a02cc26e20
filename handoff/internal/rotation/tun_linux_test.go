package rotation

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// Who dials there arrives here, over the slow link.
const (
	here  = "10.98.0.1:18434"
	there = "10.98.0.2:18434"
)

// oneWay is the link's delay in each direction.
const oneWay = 5 * time.Millisecond

// slowLink makes a link whose other end sends every packet back after a while, with
// source and destination exchanged, which leaves its checksums right: a connection
// from here to there becomes one from there to here. The link goes with the result.
func slowLink() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	request, err := unix.NewIfreq("slow")
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	}
	// Not os.OpenFile, which has the Go runtime poll it: to poll(2) what has no interface
	// yet is broken, and at times the runtime had seen that.
	tun := os.NewFile(uintptr(fd), "/dev/net/tun")
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", "10.98.0.1/24", "dev", "slow"},
		{"link", "set", "slow", "up", "txqueuelen", "100000"},
	} {
		if err != nil {
			break
		}
		var out []byte
		if out, err = exec.Command("ip", args...).CombinedOutput(); err != nil {
			err = fmt.Errorf("ip %q: %w: %s", args, err, out)
		}
	}
	if err != nil {
		tun.Close()
		return nil, err
	}
	type packet struct {
		data []byte
		due  time.Time
	}
	way := make(chan packet, 100_000)
	go func() {
		defer close(way)
		for {
			b := make([]byte, 2048)
			n, err := tun.Read(b)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "the link is broken:", err)
				os.Exit(1)
			}
			way <- packet{b[:n], time.Now().Add(oneWay)}
		}
	}()
	go func() {
		for p := range way {
			if p.data[0]>>4 != 4 {
				continue // not IPv4
			}
			time.Sleep(time.Until(p.due))
			src, dst := [4]byte(p.data[12:]), [4]byte(p.data[16:])
			copy(p.data[12:], dst[:])
			copy(p.data[16:], src[:])
			tun.Write(p.data)
		}
	}()
	return tun, nil
}
