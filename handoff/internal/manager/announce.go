package manager

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/notify"
)

// Version returns what a generation tells handoffd of the program's version, beside
// READY=1: version, or where that is "" the one of the build. There is no field where
// neither is known. An error says that the version cannot be sent.
func Version(version string) (fields []notify.Field, err error) {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	if version == "" {
		return nil, nil
	}
	fields = []notify.Field{{Key: protocol.KeyVersion, Value: version}}
	if _, err := notify.Message(fields).Append(nil); err != nil {
		return nil, fmt.Errorf("version %q: %w", version, err)
	}
	return fields, nil
}

// carriedEvery is the least time between two counts that handoffd is told: thousands
// of connections may come at once.
const carriedEvery = 100 * time.Millisecond

// AnnounceCarried tells handoffd how many connections a generation has taken over, count,
// each time that grown says that there are more. It returns when ctx ends, and reports
// what could not be sent.
func AnnounceCarried(ctx context.Context, n *notify.Notifier, grown <-chan struct{}, count func() uint64, report func(error)) {
	for {
		select {
		case <-grown:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(carriedEvery):
		case <-ctx.Done():
			return
		}
		err := n.Send(ctx, notify.Field{Key: protocol.KeyCarried, Value: strconv.FormatUint(count(), 10)})
		if err != nil && ctx.Err() == nil {
			report(err)
		}
	}
}
