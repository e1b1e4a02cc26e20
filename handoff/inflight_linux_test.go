package handoff

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// crowd makes this process one of a user without privileges who has n
// descriptors in flight, by this or another program.
func crowd(n int) error {
	if err := syscall.Setuid(987654); err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(slices.Repeat([]int{pair[0]}, n), 250) {
		if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(part...), nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// TestInFlightLimit: connections for which the user has too many descriptors in
// flight already are finished politely, also those that waited for a message to
// fill. The state goes on all the same.
func TestInFlightLimit(t *testing.T) {
	if os.Getuid() != 0 {
		Skip(t, "needs root, to become another user")
	}
	const clients = 400 // two messages
	m := newManager(t)
	addr := m.listen("http", "tcp", "127.0.0.1:0")
	app := appConfig{HTTP: inherited, State: 1, Files: 2 * clients, IdleGrace: poll.Patience / 2}
	crowded := app
	crowded.InFlight = clients // one message is too many for the next
	g := m.start(crowded)
	load, err := loadtest.Start(t.Context(), loadtest.Options{
		URL:       "http://" + addr + "/",
		Clients:   clients,
		KeepAlive: true,
		PostEvery: 2,
		Check:     loadtest.ByMethod(nil, loadtest.Digest),
		Duration:  10 * time.Minute,
		Timeout:   poll.Patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	progress(t, load, 10*clients)
	old := g
	m.commit(nil)
	old.signal(syscall.SIGTERM)
	if err := old.wait(); err != nil {
		t.Error(err)
	}
	old.close()
	old.mustReport("finished instead of carried on", parcel.LimitInFlight)
	c := old.counters()
	if c.CarriedOut == 0 || c.CarriedOut == clients || c.Closed != 0 {
		t.Errorf("%+v", c)
	}
	g = m.start(app)
	g.printed("loaded")
	progress(t, load, 10*clients)
	load.Stop()
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		t.Error(err)
	}
	n := result.Total.Counts.Reconnected
	t.Logf("%v, reconnected %d, carried %d", result.Total.Counts, n, c.CarriedOut)
	if n != clients-int64(c.CarriedOut) {
		t.Errorf("%d clients connected anew, and %d of %d connections were carried", n, c.CarriedOut, clients)
	}
	g.stop()
}
