package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	program = "holdfast-chat"
	service = program + ".service"
	address = "127.0.0.1:8081"
)

// onSystemds runs f on each systemd and for each way to replace the chat, with its
// socket there.
func onSystemds(t *testing.T, f func(t *testing.T, ctx context.Context, m *systemdtest.Machine, way exampletest.Way)) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, program)
		exampletest.EachWay(t, m, program, func(t *testing.T, way exampletest.Way) {
			f(t, exampletest.Deadline(t), m, way)
		})
	})
}

const (
	loadRooms = 4
	inRoom    = 8  // clients
	between   = 30 // lines of each client from one replacement to the next, at least

	replacements = 10

	// A client goes on when at most this many times inRoom copies of its lines
	// are still on their way: so that no queue gets near maxQueue.
	ahead = 4
)

// A talker streams numbered lines, and hears all that is said in its room.
type talker struct {
	*client
	room  []*talker
	onWay chan struct{} // a token for each copy of its lines that has not been heard yet
	said  atomic.Int64

	heard map[string]int64 // the last number, by who said it
	order hash.Hash        // of all that was heard
}

// talk says the numbers from 1 up until stop is closed, and then "end".
func (k *talker) talk(ctx context.Context, stop <-chan struct{}) error {
	for {
		for range k.room {
			select {
			case k.onWay <- struct{}{}:
			case <-ctx.Done():
				return fmt.Errorf("%s: line %d was not heard by all: %w", k.nick, k.said.Load(), context.Cause(ctx))
			}
		}
		line := strconv.FormatInt(k.said.Load()+1, 10)
		select {
		case <-stop:
			return k.say(ctx, "end")
		default:
		}
		if err := k.say(ctx, line); err != nil {
			return fmt.Errorf("%s says %s: %w", k.nick, line, err)
		}
		k.said.Add(1)
	}
}

// listen checks what is heard, until everybody in the room has said "end".
func (k *talker) listen(ctx context.Context) error {
	for ended := 0; ended < len(k.room); {
		line, err := k.hear(ctx)
		if err != nil {
			return fmt.Errorf("%s, who has heard %v: %w", k.nick, k.heard, err)
		}
		fmt.Fprintln(k.order, line)
		nick, said, _ := strings.Cut(line, ": ")
		if said == "end" {
			ended++
		} else if want := k.heard[nick] + 1; said != strconv.FormatInt(want, 10) {
			return fmt.Errorf("%s heard %q, want number %d", k.nick, line, want)
		} else {
			k.heard[nick] = want
		}
		i, err := strconv.Atoi(nick)
		if err != nil || i >= len(k.room) {
			return fmt.Errorf("%s heard %q, want somebody of the room", k.nick, line)
		}
		<-k.room[i].onWay
	}
	return nil
}

// fill has a room full of talkers, who have seen each other come.
func fill(t *testing.T, ctx context.Context, m *systemdtest.Machine, room string) []*talker {
	talkers := make([]*talker, inRoom)
	for i := range talkers {
		c := mustJoin(t, ctx, m.Dial, address, room, strconv.Itoa(i))
		talkers[i] = &talker{client: c, room: talkers, onWay: make(chan struct{}, ahead*inRoom), heard: make(map[string]int64), order: sha256.New()}
	}
	for i, k := range talkers {
		for j := i + 1; j < len(talkers); j++ {
			k.expect(t, ctx, fmt.Sprintf("* %d joined", j))
		}
	}
	return talkers
}

func TestReplacedUnderLoad(t *testing.T) {
	onSystemds(t, func(t *testing.T, ctx context.Context, m *systemdtest.Machine, way exampletest.Way) {
		var rooms [][]*talker
		for i := range loadRooms {
			rooms = append(rooms, fill(t, ctx, m, fmt.Sprintf("room-%d", i)))
		}
		ctx, fail := context.WithCancelCause(ctx)
		defer fail(nil)
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for _, room := range rooms {
			for _, k := range room {
				busy.Go(func() {
					if err := k.talk(ctx, stop); err != nil {
						fail(err)
					}
				})
				busy.Go(func() {
					if err := k.listen(ctx); err != nil {
						fail(err)
					}
				})
			}
		}
		talked := func(n int64) func() bool {
			return func() bool {
				for _, room := range rooms {
					for _, k := range room {
						if k.said.Load() < n {
							return false
						}
					}
				}
				return true
			}
		}
		for i := range int64(replacements) {
			exampletest.WaitFor(t, ctx, "lines before a "+way.Name, talked((i+1)*between))
			way.Replace()
		}
		exampletest.WaitFor(t, ctx, "lines after the last "+way.Name, talked((replacements+1)*between))
		close(stop)
		busy.Wait()
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for _, room := range rooms {
			for _, k := range room {
				total += k.said.Load()
				for _, from := range room {
					if k.heard[from.nick] != from.said.Load() {
						t.Errorf("%s heard %d lines of %s, who said %d", k.nick, k.heard[from.nick], from.nick, from.said.Load())
					}
				}
				if string(k.order.Sum(nil)) != string(room[0].order.Sum(nil)) {
					t.Errorf("%s and %s heard the room in different orders", k.nick, room[0].nick)
				}
			}
			all := room[len(room)-1]
			all.mustSay(t, ctx, "/who")
			all.expect(t, ctx, "* here: 0, 1, 2, 3, 4, 5, 6, 7")
		}
		t.Logf("%d lines, each heard by %d", total, inRoom)
		for _, room := range rooms {
			for _, k := range room {
				if err := k.conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
					t.Errorf("%s closes: %v", k.nick, err)
				}
			}
		}
	})
}
