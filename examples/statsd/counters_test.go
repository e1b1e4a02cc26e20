package main

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line  string
		name  string // "": it is refused
		delta float64
		want  string // what the error says
	}{
		{line: "page.views:1|c", name: "page.views", delta: 1},
		{line: "n:-3|c", name: "n", delta: -3},
		{line: "n:+2.5|c", name: "n", delta: 2.5},
		{line: "n:1e3|c", name: "n", delta: 1000},
		{line: "n:1|c|@0.1", name: "n", delta: 10},
		{line: "n:1|c|@1", name: "n", delta: 1},
		{line: "a|b@c:1|c", name: "a|b@c", delta: 1},
		{line: strings.Repeat("n", maxName) + ":1|c", name: strings.Repeat("n", maxName), delta: 1},
		{line: strings.Repeat("n", maxName+1) + ":1|c", want: "want 1 to 250 printable ASCII characters"},
		{line: ":1|c", want: `name ""`},
		{line: "page views:1|c", want: `name "page views"`},
		{line: "n\x00:1|c", want: `name "n\x00"`},
		{line: "zähler:1|c", want: `name "zähler"`},
		{line: "n", want: `number ""`},
		{line: "n:", want: `number ""`},
		{line: "n:1", want: `kind ""`},
		{line: "n:one|c", want: `number "one"`},
		{line: "n:NaN|c", want: `number "NaN"`},
		{line: "n:inf|c", want: `number "inf"`},
		{line: "n:1e999|c", want: `number "1e999"`},
		{line: "n:1:2|c", want: `number "1:2"`},
		{line: "n:12|ms", want: `kind "ms"`},
		{line: "n:12|g", want: `kind "g"`},
		{line: "n:1|c|", want: `option ""`},
		{line: "n:1|c|0.1", want: `option "0.1"`},
		{line: "n:1|c|@0", want: `option "@0"`},
		{line: "n:1|c|@-1", want: `option "@-1"`},
		{line: "n:1|c|@2", want: `option "@2"`},
		{line: "n:1|c|@NaN", want: `option "@NaN"`},
		{line: "n:1|c|@0.1|#tag", want: `option "@0.1|#tag"`},
		{line: "n:1|c|#tag", want: `option "#tag"`},
		{line: "n:1e308|c|@0.01", want: "the count is too large"},
	} {
		name, delta, err := parse(c.line)
		switch {
		case c.name == "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("parse(%q): error %v, want %q in it", c.line, err, c.want)
		case c.name != "" && (err != nil || name != c.name || delta != c.delta):
			t.Errorf("parse(%q) = %q, %v and %v, want %q and %v", c.line, name, delta, err, c.name, c.delta)
		}
	}
}

func TestAdd(t *testing.T) {
	c := newCounters()
	c.add([]byte("a:1|c\nb:2|c\n\na:3|c"))
	c.add([]byte("nonsense\nb:1|c|@0.5\nb:7|ms\n"))
	c.add([]byte("high:1.7e308|c\nhigh:1.7e308|c"))
	c.add(nil)
	if want := map[string]float64{"a": 4, "b": 4, "high": 1.7e308, badLines: 3}; !maps.Equal(c.sums, want) {
		t.Errorf("got %v, want %v", c.sums, want)
	}
}

func TestCountersAreBounded(t *testing.T) {
	c := newCounters()
	for i := range maxCounters + 2 {
		c.add(fmt.Appendf(nil, "n%d:1|c", i))
	}
	c.add([]byte("n0:1|c"))
	if n := len(c.sums); n != maxCounters+1 || c.sums[badLines] != 2 || c.sums["n0"] != 2 {
		t.Errorf("%d counters, n0 is %v and %v were refused, want %d with the one of refusals, 2 and 2", n, c.sums["n0"], c.sums[badLines], maxCounters+1)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, b := range []string{"", "null", "[]", "{", `{"a":"1"}`, `{"a":1e999}`} {
		c := newCounters()
		c.add([]byte("n:1|c"))
		if err := c.unmarshal([]byte(b)); err == nil {
			t.Errorf("%q was taken for counters", b)
		}
		if c.sums["n"] != 1 {
			t.Errorf("%q has changed the counters", b)
		}
	}
}

// Whatever senders say, the counters can be saved, and come back as they were.
func FuzzAdd(f *testing.F) {
	f.Add([]byte("a:1|c"))
	f.Add([]byte("a:1|c|@0.1\nb:-2.5|c\nnonsense"))
	f.Add([]byte("high:1.7e308|c\nhigh:1.7e308|c"))
	f.Add([]byte("\"\\<>&:1|c\n\x00\xff:1|c\nn:0x1p-2|c\nn:1_0|c"))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		c := newCounters()
		c.add(datagram)
		for name, sum := range c.sums {
			if math.IsInf(sum, 0) || math.IsNaN(sum) {
				t.Errorf("%q is %v", name, sum)
			}
		}
		b, err := c.marshal()
		if err != nil {
			t.Fatal(err)
		}
		next := newCounters()
		if err := next.unmarshal(b); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if !maps.Equal(next.sums, c.sums) {
			t.Errorf("%v came back as %v", c.sums, next.sums)
		}
	})
}
