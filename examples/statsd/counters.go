package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

const (
	// maxCounters and maxName bound what senders can make the program remember,
	// to about 100 MB.
	maxCounters = 200_000
	maxName     = 250 // bytes

	// badLines counts what add refused. StatsD's own server has it, too.
	badLines = "statsd.bad_lines_seen"
)

// counters are sums by name.
type counters struct {
	mu   sync.Mutex
	sums map[string]float64 // finite
}

func newCounters() *counters { return &counters{sums: make(map[string]float64)} }

// add counts a datagram: a line, or several.
func (c *counters) add(datagram []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range strings.SplitSeq(string(datagram), "\n") {
		if line == "" {
			continue
		}
		name, delta, err := parse(line)
		if err == nil {
			err = c.addTo(name, delta)
		}
		if err != nil {
			c.sums[badLines]++ // a log line for each would be the sender's to multiply
		}
	}
}

// addTo adds to one counter. The caller holds c.mu.
func (c *counters) addTo(name string, delta float64) error {
	sum, known := c.sums[name]
	if !known && len(c.sums) >= maxCounters {
		return fmt.Errorf("more than %d counters", maxCounters)
	}
	if math.IsInf(sum+delta, 0) {
		return errors.New("the sum is too large")
	}
	c.sums[name] = sum + delta
	return nil
}

// marshal makes JSON of the counters, for clients and for the next process.
func (c *counters) marshal() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.Marshal(c.sums)
}

// unmarshal takes over what marshal made in the process before.
func (c *counters) unmarshal(b []byte) error {
	sums := make(map[string]float64)
	if err := json.Unmarshal(b, &sums); err != nil {
		return err
	}
	if sums == nil {
		return errors.New("no counters, but null")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sums = sums
	return nil
}

// parse reads a line of the StatsD protocol that is about a counter: name:delta|c,
// or name:delta|c|@rate from a client that reports only that share of its counts,
// which stands for delta/rate.
func parse(line string) (name string, delta float64, err error) {
	name, rest, _ := strings.Cut(line, ":")
	value, kind, _ := strings.Cut(rest, "|")
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, unprintable) {
		return "", 0, fmt.Errorf("name %q: want 1 to %d printable ASCII characters, no space", name, maxName)
	}
	if delta, err = number(value); err != nil {
		return "", 0, err
	}
	kind, option, sampled := strings.Cut(kind, "|")
	if kind != "c" {
		return "", 0, fmt.Errorf("kind %q: want c, for a counter", kind)
	}
	if !sampled {
		return name, delta, nil
	}
	text, ok := strings.CutPrefix(option, "@")
	rate, err := number(text)
	if !ok || err != nil || rate <= 0 || rate > 1 {
		return "", 0, fmt.Errorf("option %q: want @ and a rate above 0, at most 1", option)
	}
	if delta /= rate; math.IsInf(delta, 0) {
		return "", 0, errors.New("the count is too large")
	}
	return name, delta, nil
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }

// number reads a finite number.
func number(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, fmt.Errorf("number %q: want a finite one", s)
	}
	return v, nil
}
