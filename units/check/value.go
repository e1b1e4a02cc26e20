package check

import (
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseBool reads a boolean as systemd does.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true, true
	case "0", "no", "n", "false", "f", "off":
		return false, true
	}
	return false, false
}

// isNo reports whether s is a boolean, and false.
func isNo(s string) bool {
	v, ok := parseBool(s)
	return ok && !v
}

// forever is "infinity".
const forever = time.Duration(math.MaxInt64)

// spans are the units of systemd.time(7).
var spans = map[string]time.Duration{
	"us": time.Microsecond, "usec": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond,
	"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	"M": 2629800 * time.Second, "month": 2629800 * time.Second, "months": 2629800 * time.Second,
	"y": 31557600 * time.Second, "year": 31557600 * time.Second, "years": 31557600 * time.Second,
}

// parseSpan reads a time span such as "1min 30s"; a number alone is seconds.
func parseSpan(s string) (time.Duration, bool) {
	if s == "infinity" {
		return forever, true
	}
	total, rest := 0.0, strings.TrimPrefix(strings.TrimSpace(s), "+")
	for rest != "" {
		digits := strings.TrimLeft(rest, "0123456789.")
		number, err := strconv.ParseFloat(rest[:len(rest)-len(digits)], 64)
		if err != nil {
			return 0, false
		}
		digits = strings.TrimLeft(digits, " \t")
		end := strings.IndexAny(digits, " \t0123456789.")
		if end < 0 {
			end = len(digits)
		}
		unit, ok := spans[digits[:end]]
		if !ok {
			return 0, false
		}
		total += number * float64(unit)
		rest = strings.TrimLeft(digits[end:], " \t")
	}
	if s == "" || total > float64(math.MaxInt64/2) {
		return 0, false
	}
	return time.Duration(total), true
}

// span is a time span that a unit sets, or def. What cannot be read systemd ignores.
func (u *Unit) span(def time.Duration, section string, names ...string) time.Duration {
	if d, ok := parseSpan(u.value(section, names...)); ok {
		return d
	}
	return def
}

// count is a number that a unit sets, or def.
func (u *Unit) count(def int, section string, names ...string) int {
	if n, err := strconv.ParseUint(u.value(section, names...), 10, 32); err == nil {
		return int(n)
	}
	return def
}

// words splits a value at its blanks. Quotes are taken off, escapes left as they
// are. A semicolon in quotes is an escaped one: it separates nothing.
func words(s string) []string {
	all, _ := splitWords(s)
	return all
}

// splitWords also reports whether each quote is closed.
func splitWords(s string) (all []string, closed bool) {
	var word strings.Builder
	open, quoted, quote := false, false, byte(0)
	end := func() {
		text := word.String()
		if text == ";" && quoted {
			text = `\;`
		}
		if open {
			all = append(all, text)
		}
		word.Reset()
		open, quoted = false, false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''): // also within a word, whatever systemd.syntax(7) says
			open, quoted, quote = true, true, c
		case c == '\\' && i+1 < len(s):
			open = true
			word.WriteByte(c)
			i++
			word.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			end()
		default:
			open = true
			word.WriteByte(c)
		}
	}
	end()
	return all, quote == 0
}

// A command is one command line of an Exec option.
type command struct {
	prefix string // of "@-:+!|"
	args   []string
}

// parseCommand reads the first command line of a value.
func parseCommand(s string) command {
	all := parseCommands(s)
	if len(all) == 0 {
		return command{}
	}
	return all[0]
}

// parseCommands reads the command lines of a value. A lone ";" ends each.
func parseCommands(s string) (all []command) {
	for rest := words(s); len(rest) > 0; {
		end := slices.Index(rest, ";")
		if end < 0 {
			end = len(rest)
		}
		args := slices.Clone(rest[:end])
		rest = rest[min(end+1, len(rest)):]
		if len(args) == 0 {
			continue
		}
		path := strings.TrimLeft(args[0], "@-:+!|")
		c := command{prefix: args[0][:len(args[0])-len(path)], args: args}
		switch args[0] = path; {
		case !strings.Contains(c.prefix, "@"):
		case len(args) > 1: // its second word is argv[0]
			c.args = slices.Delete(args, 1, 2)
		default: // and systemd takes none without it
			args[0] = ""
		}
		all = append(all, c)
	}
	return all
}

// program is the last part of the program's path.
func (c command) program() string {
	if len(c.args) == 0 {
		return ""
	}
	return path.Base(c.args[0])
}
