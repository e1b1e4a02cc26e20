package check

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// unsignedOf reads a number as systemd does: like C, where 0x50 and 0120 are 80.
func unsignedOf(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 0, bits)
	return n, err == nil && !strings.Contains(s, "_")
}

func unsigned(s string) bool   { _, ok := unsignedOf(s, 32); return ok }
func unsigned64(s string) bool { _, ok := unsignedOf(s, 64); return ok }

// integer takes numbers from least to most.
func integer(least, most int64) func(string) bool {
	return func(s string) bool {
		n, err := strconv.ParseInt(strings.TrimPrefix(s, "+"), 0, 64)
		return err == nil && !strings.Contains(s, "_") && !strings.HasPrefix(s, "+-") && n >= least && n <= most
	}
}

// longSpan takes what managed OOM takes for a duration: a second or more, and no
// infinity.
func longSpan(s string) bool {
	d, ok := parseSpan(s)
	return ok && d >= time.Second && d != forever
}

var sizes = regexp.MustCompile(`^\+?[0-9]+(\.[0-9]*)?[ \t]*[BKMGTPE]?$`)

// size takes a number of bytes.
func size(s string) bool {
	if !sizes.MatchString(s) {
		return false
	}
	_, err := strconv.ParseUint(strings.TrimLeft(strings.Split(strings.TrimRight(s, "BKMGTPE \t"), ".")[0], "+"), 10, 64)
	return err == nil
}

// magnitude is a size in bytes, to compare two.
func magnitude(s string) float64 {
	digits := strings.TrimRight(s, "BKMGTPE \t")
	n, _ := strconv.ParseFloat(strings.TrimPrefix(digits, "+"), 64)
	for i, unit := range "KMGTPE" {
		if strings.HasSuffix(s, string(unit)) {
			for range i + 1 {
				n *= 1024
			}
		}
	}
	return n
}

// limit takes one for both limits, or SOFT:HARD.
func limit(one func(string) bool) func(string) bool {
	return func(s string) bool {
		soft, hard, two := strings.Cut(s, ":")
		if !two {
			return one(s)
		}
		return one(soft) && one(hard) && (hard == "infinity" || soft != "infinity" && magnitude(soft) <= magnitude(hard))
	}
}

// niceLimit takes a nice level with a sign, or the limit itself.
func niceLimit(s string) bool {
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		return integer(-20, 19)(s)
	}
	return integer(0, 40)(s)
}

// parsePercent reads 20%, 20.5% and 20.55%.
func parsePercent(s string) (float64, bool) {
	digits, ok := strings.CutSuffix(s, "%")
	if !ok || !regexp.MustCompile(`^\+?[0-9]+(\.[0-9]{1,2})?$`).MatchString(digits) {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimPrefix(digits, "+"), 64)
	return n, err == nil
}

func percent(s string) bool {
	n, ok := parsePercent(s)
	return ok && n <= 100
}

func cpuQuota(s string) bool {
	n, ok := parsePercent(s)
	return ok && n > 0
}

// nonzero takes what good takes, and not its zero.
func nonzero(good func(string) bool) func(string) bool {
	return func(s string) bool {
		return good(s) && strings.Trim(strings.TrimRight(strings.TrimPrefix(s, "0x"), "BKMGTPE% \t"), "0.+") != ""
	}
}

// pair takes two words.
func pair(first, second func(string) bool) func(string) bool {
	return func(s string) bool {
		all, closed := splitWords(s)
		return closed && len(all) == 2 && first(all[0]) && second(all[1])
	}
}

// mode takes permissions in octal.
func mode(s string) bool {
	n, err := strconv.ParseUint(s, 8, 32)
	return err == nil && n <= 0o7777
}

// cpus takes a list of numbers and ranges.
func cpus(s string) bool {
	for word := range strings.FieldsFuncSeq(s, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' }) {
		low, high, ranged := strings.Cut(word, "-")
		a, ok := unsignedOf(low, 32)
		b, ok2 := a, true
		if ranged {
			b, ok2 = unsignedOf(high, 32)
		}
		if !ok || !ok2 || a > b || b > 8191 {
			return false
		}
	}
	return true
}

// signal takes a signal by its name or its number.
func signal(s string) bool {
	name := strings.TrimPrefix(s, "SIG")
	if after, ok := strings.CutPrefix(name, "RTMIN+"); ok {
		return integer(0, 30)(after)
	}
	if after, ok := strings.CutPrefix(name, "RTMAX-"); ok {
		return integer(0, 30)(after)
	}
	return integer(1, 64)(s) || oneOf(signalNames...)(name)
}

var signalNames = strings.Fields(`RTMIN RTMAX HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP
	TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS`)
