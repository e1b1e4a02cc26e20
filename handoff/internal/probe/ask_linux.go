package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/accepting"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// An answerer is who has accepted a connection.
type answerer int

const (
	byNobody answerer = iota // or nobody knows
	byNew
	byOld
)

// once asks once, while the old generation is frozen if freeze is not nil. err is
// about the answer.
func (p Probe) once(ctx context.Context, t Target, l Listener, freeze func() (func(), error), r *Report) (by answerer, err error) {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	thaw := func() {}
	frozen := false
	if freeze != nil {
		began := time.Now()
		again, err := freeze()
		if err == nil {
			frozen = true
			r.Frozen++
			thaw = func() {
				if again != nil {
					again()
					again = nil
					r.LongestFrozen = max(r.LongestFrozen, time.Since(began))
				}
			}
		}
	}
	defer thaw()
	c, err := connect(ctx, l, frozen)
	switch {
	case err != nil && whole.Err() != nil:
		return byNobody, nil // that is no news of the program
	case err != nil:
		return byNobody, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	request := p.request(l)
	if len(request) > 0 {
		io.WriteString(c, request[:len(request)-1]) // an error: it may have answered early, and closed
	}
	by, accepted, err := attribute(ctx, t, c, frozen)
	thaw()
	if err != nil {
		return byNobody, blind{err}
	}
	if !accepted {
		return by, fmt.Errorf("nobody accepts at %s", l.Address)
	}
	if p.kind == byTCP {
		return by, nil
	}
	io.WriteString(c, request[len(request)-1:])
	return by, judge(c)
}

// blind is why it cannot be known who has accepted a connection. Another try would
// come to no more.
type blind struct{ error }

func (e blind) Unwrap() error { return e.error }

func (e blind) Error() string {
	text := "cannot see who accepts: " + e.error.Error()
	if errors.Is(e.error, syscall.EAFNOSUPPORT) || errors.Is(e.error, syscall.EPERM) {
		text += "; RestrictAddressFamilies= of the unit must have AF_NETLINK"
	}
	return text
}

// connect takes no longer than the old generation may be frozen: with a full queue it
// would wait.
func connect(ctx context.Context, l Listener, frozen bool) (*conn, error) {
	if frozen {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxFrozen)
		defer cancel()
	}
	return l.connect(ctx)
}

// How often attribute looks.
const (
	firstLook = 50 * time.Microsecond
	lastLook  = 5 * time.Millisecond
	seekTime  = time.Second // for the process that has the connection
)

// attribute finds out who has accepted c. With the old generation frozen, that can
// only be the new one. accepted is false if nobody has, in time. err is why the kernel
// does not say.
func attribute(ctx context.Context, t Target, c *conn, frozen bool) (by answerer, accepted bool, err error) {
	deadline := time.Now().Add(askTimeout)
	if frozen {
		deadline = time.Now().Add(maxFrozen)
	}
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		inode, closed, err := c.accepted()
		if err != nil {
			return byNobody, false, err
		}
		if inode != 0 && !accepted {
			accepted = true
			deadline = time.Now().Add(seekTime)
		}
		switch {
		case (accepted || closed) && (frozen || t.Old == nil):
			return byNew, true, nil
		case closed:
			return byNobody, true, nil
		case accepted && holds(t.New, inode):
			return byNew, true, nil
		case accepted && holds(t.Old, inode):
			return byOld, true, nil
		case time.Now().After(deadline) || !rest(ctx, pause):
			return byNobody, accepted, nil
		}
	}
}

func holds(processes func() []int, inode uint32) bool {
	for _, pid := range processes() {
		if accepting.Holds(pid, inode) {
			return true
		}
	}
	return false
}

// request returns what is asked, in full.
func (p Probe) request(l Listener) string {
	if p.kind != byHTTP {
		return ""
	}
	host := p.name
	if host == l.Name {
		host = "localhost"
	}
	return "GET " + p.path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: handoffd\r\nConnection: close\r\n\r\n"
}

// Caps on what is read of an answer.
const (
	maxAnswer  = 1 << 16
	maxExcerpt = 200
)

// judge reads an answer.
func judge(c io.Reader) error {
	limited := bufio.NewReader(io.LimitReader(c, maxAnswer))
	response, err := http.ReadResponse(limited, nil)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 200 && response.StatusCode < 400 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxExcerpt))
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if line = strings.TrimSpace(line); line != "" {
		line = ": " + line
	}
	return errors.New(report.Clip("it answered "+response.Status+line, maxExcerpt+100))
}
