package notify

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the protocol. systemd ignores a message beyond any of them without
// telling its sender, so this package refuses to send one.
const (
	// MaxMessage is the greatest length of a message in bytes, marshalled.
	MaxMessage = 4096
	// MaxFiles is the greatest number of descriptors in one message, the
	// kernel's SCM_MAX_FD.
	MaxFiles = 253
	// MaxName is the greatest length of a descriptor's name in bytes.
	MaxName = 255
)

// A Field is one assignment of a message, such as READY=1, for [Notifier.Send]. Any of
// sd_notify(3) can be written down, as Field{Key: "RESTART_RESET", Value: "1"}. An
// older manager ignores those that it does not know:
//
//	BUSERROR=NAME         why the service failed, as a D-Bus error name
//	VARLINKERROR=NAME     the same as a Varlink error name (v257)
//	EXIT_STATUS=N         the status that the service will exit with
//	NOTIFYACCESS=WHO      who may send from now on: none, main, exec or all (v254)
//	MAINPIDFD=1           the main process is that of the one pidfd which goes with the
//	                      message (v257): SendFiles
//	MAINPIDFDID=INODE     of a pidfd of the process that MAINPID= names, so that the
//	                      manager can tell a number that is used again (v257)
//	WATCHDOG_USEC=N       the watchdog's time in microseconds; a Notifier.Watchdog that
//	                      runs keeps the pace it began with
//	WATCHDOG=trigger      as if the watchdog had run out (v243)
//	RESTART_RESET=1       sets the service's restart counter back (v258); systemd takes
//	                      no notice of it during a reload
//	FDSTORE=1, FDNAME=,   the store: Notifier.Store, StoreUnpolled and Remove send them
//	FDPOLL=0,
//	FDSTOREREMOVE=1
//
// Ready, Reloading, Stopping, Status, Errno, MainPID and WatchdogPing make the common
// ones.
type Field struct {
	Key   string
	Value string
}

// String gives the field as KEY=VALUE, not escaped.
func (f Field) String() string { return f.Key + "=" + f.Value }

// A Message is the assignments of one datagram, in order. Keys that this package
// does not know are kept.
type Message []Field

// Get returns the value that counts for key: the first one, as systemd has it.
func (m Message) Get(key string) (value string, ok bool) {
	for _, f := range m {
		if f.Key == key {
			return f.Value, true
		}
	}
	return "", false
}

// Has reports whether the message holds exactly key=value, in any place. systemd
// looks up assignments that are flags this way: READY=0 before READY=1 does not
// hide it.
func (m Message) Has(key, value string) bool {
	for _, f := range m {
		if f.Key == key && f.Value == value {
			return true
		}
	}
	return false
}

// FDName returns the name under which systemd would store the descriptors of the
// message: FDNAME=, or "stored" where that is absent or not valid.
func (m Message) FDName() string {
	if name, ok := m.Get("FDNAME"); ok && CheckName(name) == nil {
		return name
	}
	return "stored"
}

// Append appends the message as it goes over the socket to b. A newline parts
// the fields, and backslashes are doubled since the manager takes one away. The
// errors satisfy errors.Is with ErrInvalid for a field that cannot be
// represented, and with ErrTooLarge beyond MaxMessage bytes; b is then returned
// as it was.
func (m Message) Append(b []byte) ([]byte, error) {
	if len(m) == 0 {
		return b, fmt.Errorf("notify: %w: a message without fields", ErrInvalid)
	}
	out := b
	for i, f := range m {
		if err := f.check(); err != nil {
			return b, err
		}
		if i > 0 {
			out = append(out, '\n')
		}
		out = appendEscaped(out, f.Key)
		out = append(out, '=')
		out = appendEscaped(out, f.Value)
	}
	if n := len(out) - len(b); n > MaxMessage {
		return b, fmt.Errorf("notify: %w: %d bytes, at most %d are taken", ErrTooLarge, n, MaxMessage)
	}
	return out, nil
}

func appendEscaped(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return append(b, s...)
		}
		b = append(b, s[:i]...)
		b = append(b, '\\', '\\')
		s = s[i+1:]
	}
}

// check refuses what would read as something else, or as nothing, on the other
// side.
func (f Field) check() error {
	if f.Key == "" {
		return fmt.Errorf("notify: %w: a field without a key (value %q)", ErrInvalid, f.Value)
	}
	if strings.ContainsAny(f.Key, "=\n\r\x00") {
		return fmt.Errorf("notify: %w: key %q holds '=', a line break or NUL", ErrInvalid, f.Key)
	}
	if i := strings.IndexAny(f.Value, "\n\r\x00"); i >= 0 {
		return fmt.Errorf("notify: %w: value of %s holds %q at byte %d", ErrInvalid, f.Key, f.Value[i], i)
	}
	if f.Key == "STATUS" && !utf8.ValidString(f.Value) {
		return fmt.Errorf("notify: %w: STATUS %q is not UTF-8, which the manager ignores", ErrInvalid, f.Value)
	}
	if f.Key == "FDNAME" {
		return CheckName(f.Value)
	}
	return nil
}

// Parse reads a message the way systemd does. Newlines and carriage returns part
// the fields, several count as one; a backslash takes the byte after it as it
// is, also a newline; one NUL at the end is dropped. Lines without a key and a
// '=' are left out, since the manager ignores them. A message beyond MaxMessage
// (ErrTooLarge), with a NUL inside or with a backslash at its end (ErrInvalid)
// is refused whole.
func Parse(payload []byte) (Message, error) {
	if len(payload) > MaxMessage {
		return nil, fmt.Errorf("notify: %w: %d bytes, at most %d are taken", ErrTooLarge, len(payload), MaxMessage)
	}
	payload = bytes.TrimSuffix(payload, []byte{0})
	if i := bytes.IndexByte(payload, 0); i >= 0 {
		return nil, fmt.Errorf("notify: %w: NUL at byte %d", ErrInvalid, i)
	}
	var m Message
	line := make([]byte, 0, len(payload))
	end := func() {
		if key, value, ok := bytes.Cut(line, []byte("=")); ok && len(key) > 0 {
			m = append(m, Field{string(key), string(value)})
		}
		line = line[:0]
	}
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; c {
		case '\n', '\r':
			end()
		case '\\':
			if i++; i == len(payload) {
				return nil, fmt.Errorf("notify: %w: a backslash at the end", ErrInvalid)
			}
			line = append(line, payload[i])
		default:
			line = append(line, c)
		}
	}
	end()
	return m, nil
}

// CheckName says whether name can name a descriptor in the manager's store and
// in LISTEN_FDNAMES: at most MaxName bytes from 0x20 to 0x7e, except ':'. The
// error satisfies errors.Is with ErrInvalid. The empty name is valid. It is the rule
// of CheckName in package activation.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("notify: %w: descriptor name of %d bytes, at most %d are taken", ErrInvalid, len(name), MaxName)
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == ':' {
			return fmt.Errorf("notify: %w: descriptor name %q holds %q at byte %d", ErrInvalid, name, c, i)
		}
	}
	return nil
}

// ParseUsec reads a count of microseconds, as EXTEND_TIMEOUT_USEC=,
// WATCHDOG_USEC= and MONOTONIC_USEC= carry it. What a time.Duration cannot hold
// becomes the longest it can. The error satisfies errors.Is with ErrInvalid.
func ParseUsec(s string) (time.Duration, error) {
	us, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("notify: %w: %q is not a count of microseconds", ErrInvalid, s)
	}
	if us > math.MaxInt64/1000 {
		return math.MaxInt64, nil
	}
	return time.Duration(us) * time.Microsecond, nil
}
