package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gobwas/ws"
)

const (
	maxMembers = 4096 // at once, in all rooms together

	// maxQueue bounds the frames that wait for a client that does not read as
	// fast as the others talk. About 4 MiB at most, which all clients share.
	maxQueue = 1024

	// maxTake bounds what is written at once.
	maxTake = 64 << 10
)

// A hub has the rooms, and who is in them. It is the program's state: its
// exported parts go on from generation to generation.
type hub struct {
	mu      sync.Mutex
	last    uint64               // number given to a member
	members map[uint64]*member   // by number
	rooms   map[string][]*member // who hears what is said, in the order they came
}

// A member is somebody in a room. The hub's lock guards it.
type member struct {
	ID      uint64
	Room    string
	Nick    string
	Queue   [][]byte // WebSocket frames for the client, oldest first
	Closing bool     // the last of them says goodbye, and nobody is told more

	wake    chan struct{} // has a token when there is something to take
	awaited bool          // its connection has not come yet from the generation before
}

func newHub() *hub {
	return &hub{members: make(map[uint64]*member), rooms: make(map[string][]*member)}
}

// join adds a member, and tells the room.
func (h *hub) join(room, nick string) (*member, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.members) >= maxMembers {
		return nil, fmt.Errorf("all %d places are taken", maxMembers)
	}
	h.last++
	m := &member{ID: h.last, Room: room, Nick: nick}
	h.add(m)
	h.tell(room, "* "+nick+" joined")
	return m, nil
}

// add enters a member. The caller holds h.mu, as for all that follow without a
// lock.
func (h *hub) add(m *member) {
	m.wake = make(chan struct{}, 1)
	h.members[m.ID] = m
	if !m.Closing {
		h.rooms[m.Room] = append(h.rooms[m.Room], m)
	}
}

// attach returns the member with that number for its connection.
func (h *hub) attach(id uint64) (*member, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[id]
	if m == nil {
		return nil, fmt.Errorf("member %d, whose connection came, is not in the state", id)
	}
	m.awaited = false
	return m, nil
}

// leave removes a member whose connection is gone.
func (h *hub) leave(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(m)
}

func (h *hub) remove(m *member) {
	delete(h.members, m.ID)
	if !m.Closing {
		m.Closing = true
		h.quit(m)
	}
}

// quit takes a member out of its room.
func (h *hub) quit(m *member) {
	rest := slices.DeleteFunc(h.rooms[m.Room], func(o *member) bool { return o == m })
	if h.rooms[m.Room] = rest; len(rest) == 0 {
		delete(h.rooms, m.Room)
	}
	h.tell(m.Room, "* "+m.Nick+" left")
}

// sweep removes the members whose connections have not come.
func (h *hub) sweep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.members {
		if m.awaited {
			h.remove(m)
		}
	}
}

// say tells the room of m what m says.
func (h *hub) say(m *member, line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case m.Closing:
	case line == "/who":
		h.give(m, ws.NewTextFrame([]byte("* here: "+strings.Join(h.who(m.Room), ", "))))
	default:
		h.tell(m.Room, m.Nick+": "+line)
	}
}

func (h *hub) who(room string) (nicks []string) {
	for _, m := range h.rooms[room] {
		nicks = append(nicks, m.Nick)
	}
	return nicks
}

// tell queues a line for everybody in the room.
func (h *hub) tell(room, line string) {
	frame := ws.MustCompileFrame(ws.NewTextFrame([]byte(line)))
	var slow []*member
	for _, m := range h.rooms[room] {
		if !m.queue(frame) {
			slow = append(slow, m)
		}
	}
	for _, m := range slow {
		h.tooSlow(m)
	}
}

// send queues a frame for one member.
func (h *hub) send(m *member, f ws.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !m.Closing {
		h.give(m, f)
	}
}

func (h *hub) give(m *member, f ws.Frame) {
	if !m.queue(ws.MustCompileFrame(f)) {
		h.tooSlow(m)
	}
}

// queue reports whether there was room.
func (m *member) queue(frame []byte) bool {
	if len(m.Queue) >= maxQueue {
		return false
	}
	m.Queue = append(m.Queue, frame)
	m.rouse()
	return true
}

func (m *member) rouse() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (h *hub) tooSlow(m *member) {
	h.bye(m, ws.StatusPolicyViolation, fmt.Sprintf("too slow: %d lines were waiting", maxQueue))
}

// dismiss says goodbye to a member: nothing but that is sent any more.
func (h *hub) dismiss(m *member, code ws.StatusCode, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bye(m, code, reason)
}

func (h *hub) bye(m *member, code ws.StatusCode, reason string) {
	if m.Closing {
		return
	}
	m.Closing = true
	m.Queue = [][]byte{closeFrame(code, reason)}
	m.rouse()
	h.quit(m)
}

// take appends to b what is to be written to the client next. last reports
// that nothing comes after that.
func (h *hub) take(m *member, b []byte) (out []byte, last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(m.Queue) && len(b) < maxTake {
		b = append(b, m.Queue[n]...)
		n++
	}
	m.Queue = slices.Delete(m.Queue, 0, n)
	return b, m.Closing && len(m.Queue) == 0
}

// closing reports whether goodbye was said to m.
func (h *hub) closing(m *member) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return m.Closing
}

// stateVersion is that of what save returns.
const stateVersion = 1

// saved is what goes on in the next generation.
type saved struct {
	Last    uint64
	Members []*member // in the order of their numbers
}

func (h *hub) save(context.Context) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := saved{Last: h.last}
	for _, m := range h.members {
		s.Members = append(s.Members, m)
	}
	slices.SortFunc(s.Members, func(a, b *member) int { return cmp.Compare(a.ID, b.ID) })
	return json.Marshal(s)
}

func (h *hub) load(_ context.Context, version uint32, b []byte) error {
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("rooms of version %d: %w", version, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = s.Last
	for _, m := range s.Members {
		m.awaited = true
		h.add(m)
	}
	return nil
}
