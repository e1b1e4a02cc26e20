package parcel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func init() { helpers["fill"] = helpFill }

const fillUnit = `[Service]
Type=notify
ExecStart=/usr/local/bin/fill
Environment=` + helpertest.Variable + `=fill N=%d WAY=%s
FileDescriptorStoreMax=20000
LimitNOFILE=20000
TimeoutStartSec=infinity
`

// BenchmarkStore leaves N sockets with the host's systemd: each by an FDSTORE=1 of
// its own, 253 with each FDSTORE=1, and all in one parcel. A time ends when the
// manager has answered a barrier, which is how long a restart waits for it.
//
//	go test -run '^$' -bench Store -benchtime 1x ./handoff/parcel
//
// On systemd 252 one by one takes 85, 271 and 1180 times as long as a parcel does:
// 13 s and 11 ms for 8,000.
func BenchmarkStore(b *testing.B) {
	m := systemdtest.Boot(b, systemdtest.Options{})
	m.InstallFile("/usr/local/bin/fill", systemdtest.BuildTest(b), 0o755)
	for _, n := range []int{1000, 4000, 8000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			took := make(map[string]time.Duration)
			for b.Loop() {
				for way := range fillWays {
					took[way] += fillStore(b, m, n, way)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took["parcel"].Microseconds())/float64(b.N)/1000, "parcel-ms")
			for _, way := range []string{"single", "batched"} {
				b.ReportMetric(took[way].Seconds()/float64(b.N), way+"-s")
				b.ReportMetric(float64(took[way])/float64(took["parcel"]), way+"/parcel")
			}
		})
	}
}

// fillStore has a service store n sockets, and returns how long that took.
func fillStore(b *testing.B, m *systemdtest.Machine, n int, way string) time.Duration {
	m.InstallUnit("fill.service", fmt.Sprintf(fillUnit, n, way))
	m.Systemctl("start", "fill.service")
	took, err := time.ParseDuration(m.Property("fill.service", "StatusText"))
	if err != nil {
		b.Fatalf("%s\n%s", err, m.Journal("-u", "fill.service"))
	}
	want := strconv.Itoa(n)
	if way == "parcel" {
		want = "1"
	}
	if got := m.Property("fill.service", "NFileDescriptorStore"); got != want {
		b.Fatalf("%s: the store holds %s, want %s", way, got, want)
	}
	m.Systemctl("stop", "fill.service")
	return took
}

// fillWays are the ways to leave sockets with the manager, none of which it
// polls.
var fillWays = map[string]func(ctx context.Context, manager *notify.Notifier, conns []syscall.Conn) error{
	"single": func(ctx context.Context, manager *notify.Notifier, conns []syscall.Conn) error {
		return storeBy(ctx, manager, conns, 1)
	},
	"batched": func(ctx context.Context, manager *notify.Notifier, conns []syscall.Conn) error {
		return storeBy(ctx, manager, conns, 253)
	},
	"parcel": func(ctx context.Context, manager *notify.Notifier, conns []syscall.Conn) error {
		w, f, err := New(WriterOptions{})
		if err != nil {
			return err
		}
		defer f.Close()
		for _, c := range conns {
			if err := w.Put(ctx, Entry{Kind: "conn", Descriptors: []syscall.Conn{c}}); err != nil {
				return err
			}
		}
		return errors.Join(w.Close(ctx), manager.StoreUnpolled(ctx, "parcel", f))
	},
}

func storeBy(ctx context.Context, manager *notify.Notifier, conns []syscall.Conn, each int) error {
	for part := range slices.Chunk(conns, each) {
		if err := manager.StoreUnpolled(ctx, "conn", part...); err != nil {
			return err
		}
	}
	return nil
}

// helpFill stores N sockets, and says how long that took.
func helpFill([]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	n, err := strconv.Atoi(os.Getenv("N"))
	if err != nil {
		return err
	}
	manager, err := notify.Open()
	if err != nil {
		return err
	}
	conns := make([]syscall.Conn, n)
	for i := range conns {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		conns[i] = c.(syscall.Conn)
	}
	began := time.Now()
	err = fillWays[os.Getenv("WAY")](ctx, manager, conns)
	if err := errors.Join(err, manager.Barrier(ctx)); err != nil {
		return err
	}
	took := time.Since(began)
	if err := manager.Send(ctx, notify.Ready(), notify.Status(took.String())); err != nil {
		return err
	}
	<-stop
	return nil
}
